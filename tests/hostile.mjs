// An adapter in JavaScript whose forward does what its argument says: `node hostile.mjs MODE`.  y is x, of one channel and
// kernels of 1.  It lies beside conformance.mjs when it is started.

import { execSync } from "node:child_process";
import fs from "node:fs";
import { narrowed, serve, Unsupported, widened } from "./conformance.mjs";

const copy = ({ shape, data, dtype }) => ({ shape, data: data.slice(), dtype });
let calls = 0;

const MODES = {
  copies: copy,
  logs(x) {
    console.log("a line");
    process.stdout.write("and more\n");
    return copy(x);
  },
  prints(x) {
    MODES.logs(x);
    fs.writeSync(1, "as native code would\n");
    execSync("echo a child", { stdio: "inherit" });
    return copy(x);
  },
  throws: () => undefined.shape,
  throws_no_error() {
    throw { code: 7 };
  },
  async rejects() {
    throw new RangeError("later");
  },
  rejects_unseen(x) {
    Promise.reject(new RangeError("nobody waits"));
    return copy(x);
  },
  throws_between_calls(x) {
    if (++calls === 1) setTimeout(() => undefined.shape, 30);
    return copy(x);
  },
  exits: () => process.exit(3),
  async waits(x) {
    await new Promise((done) => setTimeout(done, 10));
    return copy(x);
  },
  writes(x) {
    const y = copy(x);
    x.data.fill(0);
    return y;
  },
  returns_a_view: (x) => ({ shape: x.shape, data: x.data.subarray(0) }),
  returns_integers: (x) => ({ shape: x.shape, data: Int32Array.from(x.data) }),
  returns_a_list: (x) => ({ shape: x.shape, data: [...x.data] }),
  returns_another_shape: (x) => ({ shape: [1, 2], data: x.data.slice() }),
  returns_nothing: () => undefined,
  declines() {
    throw new Unsupported("not today");
  },
  narrows: (x) => ({ shape: x.shape, data: narrowed(widened(x.data, x.dtype), x.dtype) }),
};

await serve({
  name: "hostile",
  routes: { one: "the first", two: "the second" },
  capabilities: { ranks: [2], dtypes: ["float64", "float32", "float16", "bfloat16"] },
  forward: (g, x) => MODES[process.argv[2]](x),
  backward: (g, x, w, b, delta) => ({ dx: copy(delta), dw: copy(w), db: b && copy(b) }),
});
