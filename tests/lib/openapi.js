// Compares a JSON value with a schema of an OpenAPI 3 document: its types, its required fields, and undocumented
// fields.

import assert from "node:assert/strict";

export function assertMatchesSchema(value, schema, document, where) {
  const resolved = resolve(schema, document);
  const alternatives = resolved.oneOf ?? resolved.anyOf;
  if (alternatives) {
    const errors = [];
    for (const alternative of alternatives) {
      try {
        return assertMatchesSchema(value, alternative, document, where);
      } catch (error) {
        errors.push(error.message);
      }
    }
    assert.fail(`${where} matches none of ${alternatives.length} schemas: ${errors.join("; ")}`);
  }
  for (const part of resolved.allOf ?? []) assertMatchesSchema(value, part, document, where);
  const types = [resolved.type ?? []].flat();
  if (value === null) {
    assert.ok(types.includes("null") || resolved.nullable, `${where} is null`);
    return;
  }
  if (types.length > 0) assert.ok(types.some((type) => isOfType(value, type)), `${where}: ${JSON.stringify(value)} is not of type ${types}`);
  if (resolved.enum) assert.ok(resolved.enum.includes(value), `${where}: ${value} is not one of ${resolved.enum}`);
  if (Array.isArray(value) && resolved.items) {
    value.forEach((item, index) => assertMatchesSchema(item, resolved.items, document, `${where}[${index}]`));
  }
  if (resolved.properties) {
    for (const name of resolved.required ?? []) assert.ok(name in value, `${where}.${name} is missing`);
    for (const [name, field] of Object.entries(value)) {
      assert.ok(resolved.properties[name], `${where}.${name} is not documented`);
      assertMatchesSchema(field, resolved.properties[name], document, `${where}.${name}`);
    }
  }
}

function resolve(schema, document) {
  if (!schema.$ref) return schema;
  const found = schema.$ref.slice(2).split("/").reduce((node, name) => node?.[name], document);
  assert.ok(found, `${schema.$ref} refers to a schema that does not exist`);
  return resolve(found, document);
}

function isOfType(value, type) {
  switch (type) {
    case "integer":
      return Number.isInteger(value);
    case "number":
      return typeof value === "number";
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}
