// Makes JSON values from a schema of an OpenAPI 3 document: valid ones, and ones that are wrong in one place each.

const TEXTS = { room: "lab", person: "anna", participant: "anna", background: "#102030", colour: "#00ff00", text: "hello" };
const DEPTH_MAX = 6; // No schema of the API is deeper. It keeps one that refers to itself from going on for ever.

export function resolved(schema, document) {
  if (!schema?.$ref) return schema ?? {};
  return resolved(schema.$ref.slice(2).split("/").reduce((node, name) => node?.[name], document), document);
}

/** Returns a valid value, with every member or with the required ones. `name` is that of the member that it is for. */
export function example(schema, document, { full = true, name = "", depth = 0 } = {}) {
  const of = resolved(schema, document);
  const within = { full, name, depth: depth + 1 };
  if (of.enum) return of.enum[0];
  const alternatives = (of.oneOf ?? of.anyOf ?? []).filter((one) => one.type !== "null");
  if (alternatives.length > 0) return example(alternatives[0], document, within);
  if (of.allOf) return Object.assign({}, ...of.allOf.map((part) => example(part, document, within)));
  const type = [of.type ?? "object"].flat().find((each) => each !== "null");
  switch (type) {
    case "string":
      return TEXTS[name] ?? "words";
    case "integer":
    case "number":
      return of.minimum ?? 1;
    case "boolean":
      return true;
    case "array":
      return depth < DEPTH_MAX && full ? [example(of.items, document, within)] : [];
    default: {
      const members = Object.entries(of.properties ?? {});
      const wanted = members.filter(([member]) => (full && depth < DEPTH_MAX) || of.required?.includes(member));
      return Object.fromEntries(wanted.map(([member, value]) => [member, example(value, document, { ...within, name: member })]));
    }
  }
}

/** Returns bodies that a client might send by mistake, as texts. */
export function mistakes(schema, document) {
  const valid = example(schema, document);
  const bodies = ["", "{", "null", "[]", "7", '"words"', "\u0000", `{"unknown":1}`, JSON.stringify({ ...valid, unknown: 1 })];
  for (const name of Object.keys(valid)) {
    for (const wrong of [null, -1, 1e300, "", "x".repeat(300), "\ud83d", [], {}, true, [[[]]]]) {
      bodies.push(JSON.stringify({ ...valid, [name]: wrong }));
    }
    bodies.push(JSON.stringify({ [name]: valid[name] }));
  }
  bodies.push(`{"text":"${"x".repeat(100_000)}"}`);
  bodies.push("[".repeat(60_000));
  return bodies;
}
