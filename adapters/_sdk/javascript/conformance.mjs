// The wire protocol (adapters/PROTOCOL.md) for Node 18 and later: one file, no dependencies.  A whole adapter:
//
//     import { check, serve } from "./conformance.mjs"; // first: what later imports print cannot disturb the protocol
//     import * as cnn from "my-cnn";
//
//     await serve({
//       name: "javascript-my-cnn",
//       versions: { "my-cnn": cnn.version },
//       routes: { default: "the one way through it" }, // the chosen one is this.route; left out: one way only
//       capabilities: { ranks: [2], dtypes: ["float64"], stride: true, padding: "symmetric" },
//       unsupported: (g, dtype) => (g.stride[0] === g.stride[1] ? null : "one stride for both axes"), // may be left out
//       forward: (g, x, w, b) => ({ shape: [g.batch, g.maps, ...g.output], data: cnn.forward(x.data, w.data, b?.data) }),
//       backward(g, x, w, b, delta) {
//         check(g, { x, w, b, delta }); // throws; only where the implementation does not check shapes itself
//         return cnn.backward(...); // { dx, dw, db }, each { shape, data }; null: not offered, or no bias
//       },
//     });
//
// A tensor is { shape, data, dtype }: data is a Float64Array, a Float32Array or, for float16 and bfloat16, a Uint16Array of
// bits (`widened`, `narrowed`), in C order, a copy of its own.  b is null without a bias.  Of results, dtype follows
// from data.  Methods may be async; what they throw, then or later, is an answer.  To say while computing that a problem is not
// offered, throw `new Unsupported(reason)`.  More methods, if the capabilities declare them: transposed(g, x, w, b) -> y;
// transposed_backward(g, x, w, b, delta) -> { dx, dw, db }; double_backward(g, x, w, b, delta, u, v, r) -> { dx, dw, ddelta };
// forward_mode(g, x, w, b, u, v, r) -> dy; network(net, x, target, params) -> { cost, deltas, gradients: [{ dw, db }] } with
// params = [{ w, b }]; step(net, x, target, params, rate) -> [{ w, b }].

import fs from "node:fs";
import { inspect } from "node:util";

/** Thrown by an adapter that finds out only while computing that it does not offer a problem. */
export class Unsupported extends Error {}

class AdapterFault extends Error {}
class AdapterNotFound extends AdapterFault {} // the name is the protocol's, for a route that there is not

// ---- descriptors: standard output is the implementation's, and goes to standard error ----
const [INPUT, OUTPUT] = moved();

/**
 * The protocol's descriptors, [in, out].  Node has no dup2, but a descriptor that is opened gets the lowest free number: so
 * native code and child processes are moved too.  Where /dev/fd cannot be opened (Windows, sockets, another user's pipe), only
 * what JavaScript prints is.
 */
function moved() {
  const { O_RDONLY, O_WRONLY, O_APPEND } = fs.constants;
  const printed = () => fs.openSync("/dev/fd/2", O_WRONLY | O_APPEND);
  try {
    const own = [fs.openSync("/dev/fd/0", O_RDONLY), fs.openSync("/dev/fd/1", O_WRONLY)];
    const spare = printed(); // fails, if it does, while 1 is still there
    fs.closeSync(0);
    fs.openSync("/dev/null", O_RDONLY);
    fs.closeSync(1);
    printed();
    fs.closeSync(spare);
    return own;
  } catch {
    Object.defineProperty(process, "stdout", { get: () => process.stderr });
    globalThis.console = new console.Console(process.stderr);
    return [0, 1];
  }
}

/** The result of an operation on a descriptor, tried again while that is not ready. */
function patiently(operation) {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      if (error.code === "EOF") return 0; // Windows: the end of a pipe
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

const MOST = 1 << 30; // bytes at a time
let ahead = Buffer.alloc(0); // read, and not yet used

/** The next line; null at the end of the input. */
function line() {
  let end;
  while ((end = ahead.indexOf(10)) < 0) {
    const more = Buffer.alloc(1 << 16);
    const n = patiently(() => fs.readSync(INPUT, more));
    if (n === 0) return null;
    ahead = Buffer.concat([ahead, more.subarray(0, n)]);
  }
  const text = ahead.toString("utf8", 0, end);
  ahead = ahead.subarray(end + 1);
  return text;
}

/** `count` bytes: of the input, or from the beginning of a shared file. */
function bytes(count, file = null) {
  const all = new Uint8Array(count);
  let have = file === null ? Math.min(count, ahead.length) : 0;
  all.set(ahead.subarray(0, have));
  ahead = ahead.subarray(have);
  while (have < count) {
    const place = file === null ? null : have;
    const n = patiently(() => fs.readSync(file ?? INPUT, all, have, Math.min(count - have, MOST), place));
    if (n === 0) throw new Error(`the input ended ${count - have} bytes before the end of a message`);
    have += n;
  }
  return all;
}

/** Write pieces: to the output, or to the beginning of a shared file, which grows if it must and never shrinks. */
function write(pieces, file = null) {
  const size = lengthOf(pieces);
  if (file !== null && fs.fstatSync(file).size < size) fs.ftruncateSync(file, size);
  let place = 0;
  for (const piece of pieces)
    for (let done = 0, n; done < piece.length; done += n, place += n) {
      const most = Math.min(piece.length - done, MOST);
      n = patiently(() => fs.writeSync(file ?? OUTPUT, piece, done, most, file === null ? null : place));
    }
}

const lengthOf = (pieces) => pieces.reduce((size, piece) => size + piece.length, 0);

// ---- tensors: safetensors, little-endian as every machine is that Node runs on but one ----
const ARRAYS = {
  F64: Float64Array, F32: Float32Array, F16: Uint16Array, BF16: Uint16Array,
  I64: BigInt64Array, I32: Int32Array, I16: Int16Array, I8: Int8Array,
  U64: BigUint64Array, U32: Uint32Array, U16: Uint16Array, U8: Uint8Array,
};
const CODES = { float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16" };
const NAMES = Object.fromEntries(Object.entries(CODES).map(([name, code]) => [code, name]));

const product = (shape) => shape.reduce((n, size) => n * size, 1);
const isShape = (shape) => Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0);
const raw = ({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** The tensors of a blob by name, each on memory of its own, and their bytes in it.  Throws where sizes contradict. */
function unpacked(blob) {
  const [tensors, bits] = [{}, {}];
  if (blob.length === 0) return { tensors, bits };
  const start = blob.length < 8 ? NaN : 8 + Number(new DataView(blob.buffer).getBigUint64(0, true));
  if (!(start <= blob.length)) throw new Error(`safetensors: ${blob.length} bytes hold no header`);
  const header = JSON.parse(Buffer.from(blob.subarray(8, start)).toString());
  let place = 0;
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
    const size = product(shape) * (ARRAYS[dtype]?.BYTES_PER_ELEMENT ?? NaN);
    if (!isShape(shape) || begin !== place || end - begin !== size || start + end > blob.length)
      throw new Error(`safetensors: ${name}, ${dtype} [${shape}], is not bytes ${begin} to ${end}`);
    const data = new ARRAYS[dtype](blob.buffer.slice(start + begin, start + end));
    tensors[name] = { shape, data, dtype: NAMES[dtype] ?? dtype };
    bits[name] = blob.subarray(start + begin, start + end);
    place = end;
  }
  if (start + place !== blob.length) throw new Error(`safetensors: ${blob.length - start - place} bytes too many`);
  return { tensors, bits };
}

/** The blob of some tensors by name, in pieces; `dtype` is what 16 bits are, where a tensor does not say so itself. */
function packed(tensors, dtype) {
  const header = {};
  let place = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const end = place + tensor.data.byteLength;
    header[name] = { dtype: codeOf(tensor, dtype), shape: tensor.shape, data_offsets: [place, end] };
    place = end;
  }
  if (Object.keys(header).length === 0) return [];
  const text = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8 + 8 * Math.ceil(text.length / 8), " ");
  start.writeBigUInt64LE(BigInt(start.length - 8));
  text.copy(start, 8);
  return [start, ...Object.values(tensors).map(raw)];
}

function codeOf({ data, dtype }, called) {
  const bits = data instanceof Uint16Array ? (dtype ?? called) : null;
  if (bits in CODES && ARRAYS[CODES[bits]] === Uint16Array) return CODES[bits];
  return Object.keys(ARRAYS).findLast((code) => data instanceof ARRAYS[code]);
}

// ---- 16 bits ----
const FORMATS = { float16: { precision: 11, least: -14 }, bfloat16: { precision: 8, least: -126 } };

/** The values of float16 or bfloat16 `bits` (a Uint16Array), exactly, as a Float32Array. */
export function widened(bits, dtype) {
  const { precision, least } = FORMATS[dtype];
  const hidden = 2 ** (precision - 1);
  const top = 2 ** (16 - precision) - 1; // the exponent of infinities and NaN
  return Float32Array.from(bits, (pattern) => {
    const sign = pattern & 0x8000 ? -1 : 1;
    const exponent = Math.floor((pattern & 0x7fff) / hidden);
    const mantissa = pattern % hidden;
    if (exponent === top) return mantissa ? NaN : sign * Infinity;
    const value = exponent ? (mantissa + hidden) * 2 ** (exponent - 1) : mantissa;
    return sign * value * 2 ** (least - precision + 1);
  });
}

/** Numbers (of any typed array), rounded once to the nearest float16 or bfloat16, ties to even, as bits. */
export function narrowed(numbers, dtype) {
  const { precision, least } = FORMATS[dtype];
  const infinite = 0x7fff + 1 - 2 ** (precision - 1);
  return Uint16Array.from(numbers, (number) => {
    if (Number.isNaN(number)) return infinite + 2 ** (precision - 2);
    const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
    const exponent = Math.max(exponentOf(number), least);
    const units = Math.abs(number) / 2 ** (exponent - precision + 1); // exact: below 2^precision, or infinite
    const rounded = units + 2 ** 52 - 2 ** 52; // to an integer, ties to even
    return sign | Math.min((exponent - least) * 2 ** (precision - 1) + rounded, infinite);
  });
}

const view = new DataView(new ArrayBuffer(8));

/** floor(log2 |number|); at most -1023 for what float64 holds as subnormal. */
function exponentOf(number) {
  view.setFloat64(0, number);
  return ((view.getUint16(0) >> 4) & 0x7ff) - 1023;
}

// ---- geometry ----
/** The shapes in NCHW and OIHW that a geometry gives; that of b is null without a bias. */
export function shapes(g) {
  const y = [g.batch, g.maps, ...g.output];
  const b = { none: null, tied: [g.maps], untied: y.slice(1) }[g.bias];
  return { x: [g.batch, g.channels, ...g.size], w: [g.maps, g.channels / g.groups, ...g.kernel], b, y, delta: y };
}

/** Throws if an operand's shape is not the one that the geometry gives: check(g, { x, w, b, delta }). */
export function check(g, operands) {
  const needed = shapes(g);
  for (const [name, tensor] of Object.entries(operands)) {
    const [is, must] = [tensor?.shape, needed[name]].map((shape) => JSON.stringify(shape ?? null));
    if (is !== must) throw new RangeError(`${name} has shape ${is}, but this geometry needs ${must}`);
  }
}

// ---- requests and answers ----
const CALLS = {
  forward: [["x", "w", "b"], ["y"]],
  backward: [["x", "w", "b", "delta"], ["dx", "dw", "db"]],
  transposed: [["x", "w", "b"], ["y"]],
  transposed_backward: [["x", "w", "b", "delta"], ["dx", "dw", "db"]],
  double_backward: [["x", "w", "b", "delta", "u", "v", "r"], ["dx", "dw", "ddelta"]],
  forward_mode: [["x", "w", "b", "u", "v", "r"], ["dy"]],
};
const NETWORKS = ["network", "step"];

/** Answers requests until the input ends, or one says bye; then the process exits. */
export async function serve(adapter) {
  const exit = process.exit;
  process.exit = (code) => {
    throw new Error(`process.exit(${code}) was called`);
  };
  const late = []; // what was thrown while nobody waited for it
  for (const event of ["uncaughtException", "unhandledRejection"]) process.on(event, (error) => late.push(error));
  try {
    await conversation(adapter, late);
  } catch (error) {
    fs.writeSync(2, `${error?.stack ?? error}\n`); // a message that breaks the rules
    exit(1);
  }
  exit(0);
}

async function conversation(adapter, late) {
  let shared = null;
  for (let text; (text = line()) !== null; ) {
    const request = JSON.parse(text);
    const blob = bytes(request.bytes, request.where === "shared" ? shared[0] : null);
    const answer = await answered(adapter, request, unpacked(blob), late);
    if (answer.shared) shared = request.shared;
    send(answer, request, shared);
    if (request.op === "bye") return;
  }
}

function send({ tensors = {}, ...answer }, { seq, dtype }, shared) {
  const blob = packed(tensors, dtype);
  const size = lengthOf(blob);
  const file = shared && size > 1 << 16 ? shared[1] : null;
  if (file !== null) write(blob, file);
  const where = answer.answer === "tensors" ? { where: file === null ? "pipe" : "shared" } : {};
  write([Buffer.from(JSON.stringify({ ...answer, seq, ...where, bytes: size }) + "\n"), ...(file === null ? blob : [])]);
}

async function answered(adapter, request, blob, late) {
  const calls = Object.hasOwn(CALLS, request.op) || NETWORKS.includes(request.op);
  try {
    if (calls) return await computed(adapter, request, blob, late);
    if (request.op === "hello") return hello(adapter, request);
    if (request.op === "bye") return { answer: "bye" };
    if (request.op !== "unsupported") return { answer: "unsupported", reason: `no operation ${request.op}` };
    return { answer: "reason", reason: adapter.unsupported?.(request.geometry, request.dtype) ?? null };
  } catch (error) {
    if (error instanceof Unsupported) return { answer: "unsupported", reason: error.message };
    return { answer: "error", fault: calls && !(error instanceof AdapterFault) ? "implementation" : "adapter", ...told(error) };
  }
}

/** Whatever was thrown, in words that fit into a line. */
function told(error) {
  const words = error instanceof Error ? [error.constructor.name, error.message, error.stack] : ["thrown", inspect(error), ""];
  const [type, text, traceback] = words.map((word) => String(word).slice(0, 50_000));
  return { type, text, traceback };
}

function hello(adapter, { protocol, route, shared }) {
  const { name, versions = {}, routes = {}, language = `Node ${process.versions.node}` } = adapter;
  if (protocol !== 1) throw new AdapterFault(`${name} speaks version 1 of the protocol, not ${protocol}`);
  if (route && !Object.hasOwn(routes, route))
    throw new AdapterNotFound(`${name} has no route '${route}'; it has ${Object.keys(routes).join(", ") || "none"}`);
  adapter.route = route || (Object.keys(routes)[0] ?? "");
  const capabilities = { memories: ["c"], ...adapter.capabilities };
  const conditional = "unsupported" in adapter;
  const can = { conditional, spoils: false, shared: shared !== null };
  return { answer: "hello", protocol, name, versions, language, routes, capabilities, ...can };
}

async function computed(adapter, request, { tensors: operands, bits }, late) {
  if (typeof adapter[request.op] !== "function") throw new AdapterFault(`${adapter.name} has no method ${request.op}`);
  const tensors = await (NETWORKS.includes(request.op) ? network : layer)(adapter, request, operands);
  for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate); // what was thrown asynchronously comes now
  if (late.length) throw late.splice(0)[0];
  const modified = Object.keys(operands).filter((name) => !raw(operands[name]).equals(bits[name]));
  const held = Object.values(operands).map(({ data }) => data);
  const aliased = Object.keys(tensors).filter((name) => held.some((data) => overlapping(tensors[name].data, data)));
  return { answer: "tensors", modified, aliased, tensors };
}

function overlapping(a, b) {
  const [first, second] = a.byteOffset < b.byteOffset ? [a, b] : [b, a];
  return a.buffer === b.buffer && first.byteOffset + first.byteLength > second.byteOffset && second.byteLength > 0;
}

async function layer(adapter, { op, geometry }, operands) {
  const [reads, gives] = CALLS[op];
  const results = await adapter[op](geometry, ...reads.map((name) => operands[name] ?? null));
  return gives.length === 1 ? kept(op, { [gives[0]]: results }) : kept(op, chosen(op, results, gives));
}

async function network(adapter, { op, network: net, rate }, { x, target, ...of }) {
  const params = net.layers.map((_, l) => ({ w: of[`w${l + 1}`], b: of[`b${l + 1}`] ?? null }));
  const results = await adapter[op](net, x, target, params, rate);
  const pairs = (list, names) => list.flatMap((pair, l) => names.map((name) => [name + (l + 1), pair[name]]));
  if (op === "step") return kept(op, Object.fromEntries(pairs(results, ["w", "b"])));
  const { cost, deltas, gradients } = results;
  const numbered = deltas.map((delta, l) => [`delta${l + 1}`, delta]);
  return kept(op, Object.fromEntries([["cost", cost], ...numbered, ...pairs(gradients, ["dw", "db"])]));
}

function chosen(op, results, names) {
  if (results === null || typeof results !== "object")
    throw new AdapterFault(`${op} must return { ${names.join(", ")} }, it returned ${inspect(results)}`);
  return Object.fromEntries(names.map((name) => [name, results[name]]));
}

/** The results that are there, each looked at: a shape, and a typed array of as many elements. */
function kept(op, results) {
  const there = Object.entries(results).filter(([, tensor]) => tensor !== null && tensor !== undefined);
  for (const [name, { shape, data }] of there) {
    if (!Object.values(ARRAYS).some((array) => data instanceof array))
      throw new AdapterFault(`${op}: the data of ${name} must be a typed array, they are ${inspect(data)}`);
    if (!isShape(shape) || product(shape) !== data.length)
      throw new AdapterFault(`${op}: ${name} has ${data.length} elements and the shape ${inspect(shape)}`);
  }
  return Object.fromEntries(there);
}
