"use strict";
// The routes of openapi.json, written out.

function element(name, text = "", inner = []) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...inner);
  return made;
}

/** A schema in a few words. */
function told(schema, schemas) {
  if (schema.$ref) schema = schemas[schema.$ref.split("/").pop()];
  if (schema.anyOf) return schema.anyOf.map((one) => told(one, schemas)).join(" or ");
  if (schema.type === "array") return `[${told(schema.items, schemas)}, …]`;
  if (schema.properties) {
    const parts = Object.entries(schema.properties);
    return `{${parts.map(([name, part]) => `"${name}": ${told(part, schemas)}`).join(", ")}}`;
  }
  const limits = ["minimum", "maximum", "maxLength"].filter((name) => name in schema);
  return [schema.type ?? "any", ...limits.map((name) => `${name} ${schema[name]}`)].join(" ");
}

function route(path, method, operation, schemas) {
  const rows = (operation.parameters ?? []).map(({ name, required, schema, description }) => {
    const fallback = schema.default === undefined ? "" : `, else ${schema.default}`;
    const kind = `${told(schema, schemas)}${required ? ", required" : fallback}`;
    return element("tr", "", [
      element("td", "", [element("code", name)]), element("td", kind), element("td", description),
    ]);
  });
  const parts = [
    element("h2", "", [element("code", `${method.toUpperCase()} ${path}`)]),
    element("p", operation.description),
  ];
  if (rows.length) parts.push(element("table", "", rows));
  const body = operation.requestBody?.content["application/json"].schema;
  if (body) parts.push(element("p", "asked: ", [element("code", told(body, schemas))]));
  const answer = operation.responses["200"].content?.["application/json"]?.schema;
  if (answer) parts.push(element("p", "answer: ", [element("code", told(answer, schemas))]));
  return element("section", "", parts);
}

async function describe() {
  const { paths, components } = await (await fetch("/openapi.json")).json();
  document.getElementById("routes").append(...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      route(path, method, operation, components.schemas))));
}

describe();
