// The page: pictures in, one question for all of them, answers drawn. No library, no build.
import { regionsOf, toCoco, plainText } from "./answers.js";
import { drawPicture, colourOf } from "./drawing.js";

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const state = { tasks: [], pictures: [], shown: -1, scale: 1, dragging: null, asked: null };

function shownPicture() { return state.pictures[state.shown]; }
function chosenTask() { return state.tasks.find((task) => task.name === byId("task").value); }
function tell(message, isError = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("error", isError);
}

async function addFiles(files) {
  for (const file of files) {
    if (!file.type.startsWith("image/")) { tell(`${file.name} is no picture`, true); continue; }
    try {
      const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
      state.pictures.push({ name: file.name || "picture", file, bitmap, url: URL.createObjectURL(file), answer: null, region: null });
      show(state.pictures.length - 1);
    } catch { tell(`${file.name} cannot be read as an image`, true); }
  }
  byId("run").disabled = state.pictures.length === 0;
  drawThumbs();
}

function drawThumbs() {
  byId("remove").hidden = state.pictures.length === 0;
  byId("pictures").replaceChildren(...state.pictures.map((picture, index) => {
    const button = thumb(picture.url, picture.name);
    button.setAttribute("aria-pressed", String(index === state.shown));
    button.onclick = () => { show(index); drawThumbs(); };
    return button;
  }));
}

function removePicture(index) {
  const [gone] = state.pictures.splice(index, 1);
  URL.revokeObjectURL(gone.url);
  gone.bitmap.close();
  byId("run").disabled = state.pictures.length === 0;
  if (state.pictures.length) {
    show(Math.min(state.shown > index ? state.shown - 1 : state.shown, state.pictures.length - 1));
  } else {
    state.shown = -1;
    showAnswer();
    tell("Choose a picture to begin.");
  }
  drawThumbs();
}

function thumb(source, name) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  button.type = "button";
  image.src = source;
  image.alt = name;
  button.append(image);
  return button;
}

function show(index) {
  state.shown = index;
  const picture = shownPicture();
  const { width, height } = picture.bitmap;
  // Small pictures are shown larger, so that labels on them stay small and sharp.
  state.scale = Math.max(1, Math.min(4, 720 / Math.max(width, height)));
  canvas.width = Math.round(width * state.scale);
  canvas.height = Math.round(height * state.scale);
  if (!picture.answer) tell(`${picture.name}: ${width} by ${height} pixels. Ask about it.`);
  showRegion();
  showAnswer();
}

function takesRegion() { return chosenTask()?.input === "region"; }

function showRegion() {
  const region = shownPicture()?.region;
  ["x0", "y0", "x1", "y1"].forEach((id, at) => { byId(id).value = region ? Math.round(region[at]) : ""; });
}

function showAnswer() {
  const picture = shownPicture();
  if (!picture) { showNothing(); return; }
  const lowest = Number(byId("score").value);
  const regions = picture.answer ? regionsOf(picture.answer).filter((each) => (each.score ?? 1) >= lowest) : [];
  drawPicture(canvas, picture.bitmap, regions, takesRegion() ? picture.region : null, state.scale);
  const words = picture.answer ? plainText(picture.answer) : "";
  byId("words").textContent = words;
  byId("rows").replaceChildren(...regions.map((each, index) => {
    const row = document.createElement("tr");
    const cells = [index + 1, each.label || "(no label)", each.score?.toFixed(2) ?? "", each.box.map(Math.round).join(", ")];
    for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    row.firstChild.style.borderLeft = `0.4rem solid ${colourOf(each.label)}`;
    return row;
  }));
  const all = picture.answer ? regionsOf(picture.answer) : [];
  byId("table-frame").hidden = regions.length === 0;
  byId("score-field").hidden = !all.some((each) => each.score !== null);
  byId("score-value").textContent = lowest.toFixed(2);
  for (const id of ["json", "coco", "png"]) byId(id).disabled = !picture.answer;
  canvas.setAttribute("aria-label", picture.answer
    ? `${picture.name}: ${words || `${regions.length} regions: ${regions.map((each) => each.label).join(", ")}`}`
    : picture.name);
}

function showNothing() {
  canvas.width = 640;
  canvas.height = 360;
  canvas.setAttribute("aria-label", "No picture yet");
  byId("words").textContent = "";
  byId("rows").replaceChildren();
  byId("table-frame").hidden = byId("score-field").hidden = true;
  for (const id of ["json", "coco", "png"]) byId(id).disabled = true;
}

function question(picture) {
  const task = chosenTask();
  const asked = { task: task.name };
  if (task.input === "region") {
    if (!picture.region) throw new Error(`draw a region on ${picture.name} first`);
    asked.region = picture.region;
  } else if (task.input === "text") {
    const words = byId("text").value.trim();
    if (!words) throw new Error("this task needs words");
    asked.text = task.name === "open-vocabulary-detection" ? words.split(",").map((each) => each.trim()).filter(Boolean) : words;
  }
  return asked;
}

async function askOne(picture, asked) {
  const form = new FormData();
  form.append("image", picture.file, picture.name);
  form.append("tasks", JSON.stringify([question(picture)]));
  form.append("options", JSON.stringify(byId("fast").checked ? { beams: 1 } : {}));
  const headers = byId("key").value ? { "X-API-Key": byId("key").value } : {};
  for (let attempt = 0; ; attempt += 1) {
    const response = await fetch("v1/run", { method: "POST", body: form, headers });
    if (response.status === 429 && attempt < 30) {
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") || 1)));
      continue;
    }
    const body = await response.json().catch(() => ({ error: `status ${response.status}` }));
    if (!response.ok) throw new Error(body.error);
    const [answer] = body.answers;
    if (answer.error) throw new Error(answer.error);
    // The task may have been changed, or the picture removed, while this was under way.
    if (asked === state.asked) picture.answer = { ...answer, image_size: body.image_size, seconds: body.seconds };
    return;
  }
}

async function ask() {
  byId("run").disabled = true;
  let done = 0;
  const failures = [];
  tell(`Asking about ${state.pictures.length === 1 ? "the picture" : `${state.pictures.length} pictures`} ...`);
  const begin = performance.now();
  const asked = state.asked = {};
  await Promise.all(state.pictures.map(async (picture) => {
    try { await askOne(picture, asked); } catch (error) { picture.answer = null; failures.push(`${picture.name}: ${error.message}`); }
    done += 1;
    if (state.pictures.length > 1) tell(`${done} of ${state.pictures.length} answered ...`);
    if (picture === shownPicture()) showAnswer();
  }));
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  byId("run").disabled = state.pictures.length === 0;
  if (asked !== state.asked) return;
  if (failures.length) tell(failures.join("; "), true);
  else tell(`Answered in ${seconds} s.`);
}

function save(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function saveJson(name, value) {
  save(name, new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
}

function chooseTask() {
  const task = chosenTask();
  byId("task-help").textContent = task.summary;
  byId("text-field").hidden = task.input !== "text";
  byId("text-help").textContent = task.name === "open-vocabulary-detection" ? "Class names, with commas between them." : "";
  byId("region-field").hidden = task.input !== "region";
  canvas.classList.toggle("drawing", task.input === "region");
  // An answer belongs to the task that was asked.
  const had = state.pictures.some((picture) => picture.answer);
  state.asked = null;
  for (const picture of state.pictures) picture.answer = null;
  if (had) tell("Another task: ask again.");
  showAnswer();
}

function place(event) {
  const frame = canvas.getBoundingClientRect();
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const { width, height } = shownPicture().bitmap;
  return [clamp((event.clientX - frame.left) * width / frame.width, width),
    clamp((event.clientY - frame.top) * height / frame.height, height)];
}

function dragTo(event) {
  const [x, y] = place(event), [fromX, fromY] = state.dragging;
  shownPicture().region = [Math.min(x, fromX), Math.min(y, fromY), Math.max(x, fromX), Math.max(y, fromY)];
  showRegion();
  showAnswer();
}

canvas.onpointerdown = (event) => {
  if (!takesRegion() || !shownPicture()) return;
  canvas.setPointerCapture(event.pointerId);
  state.dragging = place(event);
};
canvas.onpointermove = (event) => { if (state.dragging) dragTo(event); };
canvas.onpointerup = (event) => { if (state.dragging) { dragTo(event); state.dragging = null; } };
for (const id of ["x0", "y0", "x1", "y1"]) byId(id).oninput = () => {
  const values = ["x0", "y0", "x1", "y1"].map((each) => Number(byId(each).value));
  if (shownPicture() && values[2] > values[0] && values[3] > values[1]) { shownPicture().region = values; showAnswer(); }
};

const drop = byId("drop");
drop.onclick = (event) => { if (event.target !== byId("files")) byId("files").click(); };
drop.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); byId("files").click(); } };
byId("files").onchange = (event) => { addFiles([...event.target.files]); event.target.value = ""; };
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); addFiles([...event.dataTransfer.files]); });
addEventListener("paste", (event) => { if (event.clipboardData.files.length) addFiles([...event.clipboardData.files]); });
byId("task").onchange = chooseTask;
byId("score").oninput = showAnswer;
byId("run").onclick = ask;
byId("remove").onclick = () => removePicture(state.shown);
byId("text").onkeydown = (event) => { if (event.key === "Enter" && !byId("run").disabled) ask(); };
byId("json").onclick = () => saveJson(`${shownPicture().name}.json`, shownPicture().answer);
byId("coco").onclick = () => saveJson("instances.json", toCoco(state.pictures.filter((each) => each.answer)));
byId("png").onclick = () => canvas.toBlob((content) => save(`${shownPicture().name}.annotated.png`, content));

async function showModel() {
  const model = await (await fetch("model")).json();
  byId("model").textContent = model.name;
  byId("model-note").textContent = model.note ?? "";
}

async function begin() {
  await showModel();
  state.tasks = await (await fetch("tasks")).json();
  const groups = new Map([["Tasks", []], ["Cascades", []]]);
  for (const task of state.tasks) groups.get(task.cascade ? "Cascades" : "Tasks").push(new Option(task.name, task.name));
  for (const [label, options] of groups) {
    const group = Object.assign(document.createElement("optgroup"), { label });
    group.append(...options);
    byId("task").append(group);
  }
  byId("task").value = "object-detection";
  chooseTask();
  for (const name of await (await fetch("page/examples/list.json")).json()) {
    const button = thumb(`page/examples/${name}`, `example ${name}`);
    button.onclick = async () => {
      const content = await (await fetch(`page/examples/${name}`)).blob();
      addFiles([new File([content], name, { type: content.type })]);
    };
    byId("examples").append(button);
  }
}
begin().catch((error) => tell(`The server does not answer: ${error.message}`, true));
