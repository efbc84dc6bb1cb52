// Renders the routes of openapi.json. No library, nothing from the internet.
const make = (tag, text, ...children) => {
  const found = document.createElement(tag);
  if (text) found.textContent = text;
  found.append(...children);
  return found;
};

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).filter((each) => each !== "null").join(" or ");
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  return schema.format ? `${schema.type} (${schema.format})` : schema.type ?? "anything";
}

function boundsOf(schema) {
  const all = { ...schema, ...Object.assign({}, ...(schema.anyOf ?? []).filter((each) => !each.$ref)) };
  const words = [];
  if (all.minimum !== undefined) words.push(`at least ${all.minimum}`);
  if (all.exclusiveMinimum !== undefined) words.push(`above ${all.exclusiveMinimum}`);
  if (all.maximum !== undefined) words.push(`at most ${all.maximum}`);
  if (all.maxLength !== undefined) words.push(`at most ${all.maxLength} characters`);
  return words.join(", ");
}

function fieldsOf(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const notes = [schema.required?.includes(name) ? "required" : "", boundsOf(field), field.description ?? ""];
    return make("tr", "", make("td", "", make("code", name)), make("td", typeOf(field)), make("td", notes.filter(Boolean).join(". ")));
  });
  const head = make("thead", "", make("tr", "", ...["field", "type", "notes"].map((each) => make("th", each))));
  return make("table", "", head, make("tbody", "", ...rows));
}

function bodyOf(operation, schemas) {
  const parts = [];
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    const found = schema.$ref ? schemas[typeOf(schema)] ?? {} : schema;
    parts.push(make("h3", `Body, ${type}`), fieldsOf(found));
    for (const example of found.examples ?? []) parts.push(make("pre", JSON.stringify(example, null, 2)));
  }
  return parts;
}

function routeOf(path, method, operation, schemas) {
  const statuses = Object.entries(operation.responses ?? {}).map(([status, { description }]) =>
    make("tr", "", make("td", status), make("td", description)));
  return make("details", "",
    make("summary", "", make("code", `${method.toUpperCase()} ${path}`), ` ${operation.summary ?? ""}`),
    ...(operation.description ? [make("p", operation.description)] : []),
    ...bodyOf(operation, schemas),
    make("h3", "Statuses"), make("table", "", make("tbody", "", ...statuses)));
}

async function begin() {
  const { paths, components } = await (await fetch("openapi.json")).json();
  const schemas = components?.schemas ?? {};
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => routeOf(path, method, operation, schemas)));
  const models = Object.entries(schemas).filter(([, schema]) => schema.properties).map(([name, schema]) =>
    make("details", "", make("summary", "", make("code", name), ` ${schema.description ?? ""}`), fieldsOf(schema)));
  document.getElementById("routes").replaceChildren(
    make("h2", "Routes"), ...routes, make("h2", "Objects"), ...models);
}
begin().catch((error) => { document.getElementById("routes").textContent = `The server does not respond: ${error.message}`; });
