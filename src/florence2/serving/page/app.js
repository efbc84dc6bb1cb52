// The page: runs one task on all images and draws the output. No library, no build step.
import { regionsOf, toCoco, plainText } from "./answers.js";
import { drawAnnotated, colorOf } from "./drawing.js";

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const state = { tasks: [], images: [], shown: -1, scale: 1, dragging: null, run: null };

function shownImage() { return state.images[state.shown]; }
function selectedTask() { return state.tasks.find((task) => task.name === byId("task").value); }
function setStatus(message, isError = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("error", isError);
}

async function addFiles(files) {
  for (const file of files) {
    if (!file.type.startsWith("image/")) { setStatus(`${file.name} is not an image`, true); continue; }
    try {
      const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
      state.images.push({ name: file.name || "image", file, bitmap, url: URL.createObjectURL(file), output: null, region: null });
      show(state.images.length - 1);
    } catch { setStatus(`${file.name} cannot be read as an image`, true); }
  }
  byId("run").disabled = state.images.length === 0;
  drawThumbs();
}

function drawThumbs() {
  byId("remove").hidden = state.images.length === 0;
  byId("images").replaceChildren(...state.images.map((image, index) => {
    const button = thumb(image.url, image.name);
    button.setAttribute("aria-pressed", String(index === state.shown));
    button.onclick = () => { show(index); drawThumbs(); };
    return button;
  }));
}

function removeImage(index) {
  const [removed] = state.images.splice(index, 1);
  URL.revokeObjectURL(removed.url);
  removed.bitmap.close();
  byId("run").disabled = state.images.length === 0;
  if (state.images.length) {
    show(Math.min(state.shown > index ? state.shown - 1 : state.shown, state.images.length - 1));
  } else {
    state.shown = -1;
    showOutput();
    setStatus("Choose an image to begin.");
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
  const image = shownImage();
  const { width, height } = image.bitmap;
  // Small images are enlarged, so that labels stay small and sharp.
  state.scale = Math.max(1, Math.min(4, 720 / Math.max(width, height)));
  canvas.width = Math.round(width * state.scale);
  canvas.height = Math.round(height * state.scale);
  if (!image.output) setStatus(`${image.name}: ${width} by ${height} pixels. Press Run.`);
  showRegion();
  showOutput();
}

function takesRegion() { return selectedTask()?.input === "region"; }

function showRegion() {
  const region = shownImage()?.region;
  ["x0", "y0", "x1", "y1"].forEach((id, at) => { byId(id).value = region ? Math.round(region[at]) : ""; });
}

function showOutput() {
  const image = shownImage();
  if (!image) { showNothing(); return; }
  const minScore = Number(byId("score").value);
  const regions = image.output ? regionsOf(image.output).filter((each) => (each.score ?? 1) >= minScore) : [];
  drawAnnotated(canvas, image.bitmap, regions, takesRegion() ? image.region : null, state.scale);
  const text = image.output ? plainText(image.output) : "";
  byId("output-text").textContent = text;
  byId("rows").replaceChildren(...regions.map((each, index) => {
    const row = document.createElement("tr");
    const cells = [index + 1, each.label || "(no label)", each.score?.toFixed(2) ?? "", each.box.map(Math.round).join(", ")];
    for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    row.firstChild.style.borderLeft = `0.4rem solid ${colorOf(each.label)}`;
    return row;
  }));
  const all = image.output ? regionsOf(image.output) : [];
  byId("table-frame").hidden = regions.length === 0;
  byId("score-field").hidden = !all.some((each) => each.score !== null);
  byId("score-value").textContent = minScore.toFixed(2);
  for (const id of ["json", "coco", "png"]) byId(id).disabled = !image.output;
  canvas.setAttribute("aria-label", image.output
    ? `${image.name}: ${text || `${regions.length} regions: ${regions.map((each) => each.label).join(", ")}`}`
    : image.name);
}

function showNothing() {
  canvas.width = 640;
  canvas.height = 360;
  canvas.setAttribute("aria-label", "No image");
  byId("output-text").textContent = "";
  byId("rows").replaceChildren();
  byId("table-frame").hidden = byId("score-field").hidden = true;
  for (const id of ["json", "coco", "png"]) byId(id).disabled = true;
}

function makeTask(image) {
  const task = selectedTask();
  const request = { task: task.name };
  if (task.input === "region") {
    if (!image.region) throw new Error(`draw a region on ${image.name} first`);
    request.region = image.region;
  } else if (task.input === "text") {
    const text = byId("text").value.trim();
    if (!text) throw new Error("this task needs a text input");
    const isList = task.name === "open-vocabulary-detection";
    request.text = isList ? text.split(",").map((each) => each.trim()).filter(Boolean) : text;
  }
  return request;
}

async function runOne(image, current) {
  const form = new FormData();
  form.append("image", image.file, image.name);
  form.append("tasks", JSON.stringify([makeTask(image)]));
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
    // The task may have been changed, or the image removed, in the meantime.
    if (current === state.run) image.output = { ...answer, image_size: body.image_size, seconds: body.seconds };
    return;
  }
}

async function run() {
  byId("run").disabled = true;
  let done = 0;
  const failures = [];
  setStatus(`Running on ${state.images.length === 1 ? "the image" : `${state.images.length} images`} ...`);
  const begin = performance.now();
  const current = state.run = {};
  await Promise.all(state.images.map(async (image) => {
    try { await runOne(image, current); } catch (error) { image.output = null; failures.push(`${image.name}: ${error.message}`); }
    done += 1;
    if (state.images.length > 1) setStatus(`${done} of ${state.images.length} done ...`);
    if (image === shownImage()) showOutput();
  }));
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  byId("run").disabled = state.images.length === 0;
  if (current !== state.run) return;
  if (failures.length) setStatus(failures.join("; "), true);
  else setStatus(`Done in ${seconds} s.`);
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
  const task = selectedTask();
  byId("task-help").textContent = task.summary;
  byId("text-field").hidden = task.input !== "text";
  byId("text-help").textContent = task.name === "open-vocabulary-detection" ? "Class names, separated by commas." : "";
  byId("region-field").hidden = task.input !== "region";
  canvas.classList.toggle("drawing", task.input === "region");
  // The output belongs to the task that was run.
  const hadOutput = state.images.some((image) => image.output);
  state.run = null;
  for (const image of state.images) image.output = null;
  if (hadOutput) setStatus("Another task: press Run.");
  showOutput();
}

function toImagePoint(event) {
  const frame = canvas.getBoundingClientRect();
  const clamp = (value, max) => Math.min(Math.max(value, 0), max);
  const { width, height } = shownImage().bitmap;
  return [clamp((event.clientX - frame.left) * width / frame.width, width),
    clamp((event.clientY - frame.top) * height / frame.height, height)];
}

function dragTo(event) {
  const [x, y] = toImagePoint(event), [fromX, fromY] = state.dragging;
  shownImage().region = [Math.min(x, fromX), Math.min(y, fromY), Math.max(x, fromX), Math.max(y, fromY)];
  showRegion();
  showOutput();
}

canvas.onpointerdown = (event) => {
  if (!takesRegion() || !shownImage()) return;
  canvas.setPointerCapture(event.pointerId);
  state.dragging = toImagePoint(event);
};
canvas.onpointermove = (event) => { if (state.dragging) dragTo(event); };
canvas.onpointerup = (event) => { if (state.dragging) { dragTo(event); state.dragging = null; } };
for (const id of ["x0", "y0", "x1", "y1"]) byId(id).oninput = () => {
  const values = ["x0", "y0", "x1", "y1"].map((each) => Number(byId(each).value));
  if (shownImage() && values[2] > values[0] && values[3] > values[1]) { shownImage().region = values; showOutput(); }
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
byId("score").oninput = showOutput;
byId("run").onclick = run;
byId("remove").onclick = () => removeImage(state.shown);
byId("text").onkeydown = (event) => { if (event.key === "Enter" && !byId("run").disabled) run(); };
byId("json").onclick = () => saveJson(`${shownImage().name}.json`, shownImage().output);
byId("coco").onclick = () => saveJson("instances.json", toCoco(state.images.filter((each) => each.output)));
byId("png").onclick = () => canvas.toBlob((content) => save(`${shownImage().name}.annotated.png`, content));

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
begin().catch((error) => setStatus(`The server does not respond: ${error.message}`, true));
