// Writes AMF0 as an RTMP client does, and reads the types that a server's answers use.

export const amf0 = {
  number(value) {
    const out = Buffer.alloc(9);
    out.writeDoubleBE(value, 1);
    return out;
  },
  boolean: (value) => Buffer.from([1, value ? 1 : 0]),
  string(value) {
    const text = Buffer.from(value);
    const head = Buffer.from([2, text.length >> 8, text.length & 0xff]);
    return Buffer.concat([head, text]);
  },
  null: () => Buffer.from([5]),
  object(fields) {
    const parts = [Buffer.from([3])];
    for (const [key, value] of Object.entries(fields)) parts.push(amf0.string(key).subarray(1), amf0.value(value));
    return Buffer.concat([...parts, Buffer.from([0, 0, 9])]);
  },
  array: (values) =>
    Buffer.concat([Buffer.from([10, 0, 0, values.length >> 8, values.length & 0xff]), ...values.map(amf0.value)]),
  value(value) {
    if (value === null) return amf0.null();
    if (Buffer.isBuffer(value)) return value;
    if (Array.isArray(value)) return amf0.array(value);
    if (typeof value === "number") return amf0.number(value);
    if (typeof value === "boolean") return amf0.boolean(value);
    if (typeof value === "string") return amf0.string(value);
    return amf0.object(value);
  },
};

/** Returns all values of a message body. */
export function readAmf0(body) {
  const reader = { body, at: 0 };
  const values = [];
  while (reader.at < body.length) values.push(readValue(reader));
  return values;
}

function readValue(reader) {
  const { body } = reader;
  const kind = body[reader.at];
  reader.at += 1;
  switch (kind) {
    case 0:
      reader.at += 8;
      return body.readDoubleBE(reader.at - 8);
    case 1:
      reader.at += 1;
      return body[reader.at - 1] !== 0;
    case 2:
      return readString(reader);
    case 3:
      return readObject(reader);
    case 8:
      reader.at += 4;
      return readObject(reader);
    case 5:
    case 6:
      return null;
    case 10: {
      const length = body.readUInt32BE(reader.at);
      reader.at += 4;
      return Array.from({ length }, () => readValue(reader));
    }
    default:
      throw new Error(`unknown AMF0 type ${kind} at byte ${reader.at - 1}`);
  }
}

function readString(reader) {
  const length = reader.body.readUInt16BE(reader.at);
  reader.at += 2 + length;
  return reader.body.toString("utf8", reader.at - length, reader.at);
}

function readObject(reader) {
  const fields = {};
  for (;;) {
    const key = readString(reader);
    if (key === "" && reader.body[reader.at] === 9) {
      reader.at += 1;
      return fields;
    }
    fields[key] = readValue(reader);
  }
}
