// Where the members of a JSON object begin and end in the bytes, so that a value can be passed on exactly
// as it came. Validates nothing beyond what it needs; its input has been parsed, or is ours.

const WHITE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN, CLOSE] = [new Set([0x7b, 0x5b]), new Set([0x7d, 0x5d])];

const skip = (bytes, at) => {
  while (WHITE.has(bytes[at])) at++;
  return at;
};

function endOfString(bytes, at) {
  for (at++; bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
  return at + 1;
}

function endOfValue(bytes, at) {
  if (bytes[at] === QUOTE) return endOfString(bytes, at);
  if (!OPEN.has(bytes[at])) {
    while (at < bytes.length && !WHITE.has(bytes[at]) && bytes[at] !== COMMA && !CLOSE.has(bytes[at])) at++;
    return at;
  }
  for (let depth = 0; ; at++) {
    if (at >= bytes.length) throw new Error('the object has no end');
    if (bytes[at] === QUOTE) at = endOfString(bytes, at) - 1;
    else if (OPEN.has(bytes[at])) depth++;
    else if (CLOSE.has(bytes[at]) && --depth === 0) return at + 1;
  }
}

/** The members of an object, by name (the last of equal names wins): each value's bytes as they are. */
export function members(bytes) {
  const found = {};
  let at = skip(bytes, 0);
  if (bytes[at] !== 0x7b) throw new Error('not an object');
  for (at = skip(bytes, at + 1); bytes[at] === QUOTE; at = bytes[at] === COMMA ? skip(bytes, at + 1) : at) {
    const end = endOfString(bytes, at);
    const name = JSON.parse(bytes.toString('utf8', at, end));
    at = skip(bytes, end);
    if (bytes[at] !== COLON) throw new Error('no colon');
    at = skip(bytes, at + 1);
    const stop = endOfValue(bytes, at);
    found[name] = bytes.subarray(at, stop);
    at = skip(bytes, stop);
  }
  return found;
}

/** The bytes of a member of a member of …, or undefined. */
export function dig(bytes, ...path) {
  for (const name of path) {
    if (bytes === undefined) return undefined;
    bytes = members(bytes)[name];
  }
  return bytes;
}
