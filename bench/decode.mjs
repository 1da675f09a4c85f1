// Times how long recorded frames take the decoder in wasm: `node decode.mjs MODULE_DIR FRAMES ROUNDS`.
// Prints the mean over the frames that follow another, in microseconds; each frame counts as the
// shortest of the rounds. FRAMES: ticks a second, the last state's hash (64 bits), then the schema
// and each frame with its length before it; numbers little-endian, of 32 bits where nothing is said.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join, resolve } from "node:path";

const [folder, file, rounds] = process.argv.slice(2);
const module = (name) => resolve(join(folder, name));
const { initSync, Decoder } = await import(pathToFileURL(module("decoder.js")));
initSync({ module: readFileSync(module("decoder_bg.wasm")) });

const bytes = readFileSync(file);
const hz = bytes.readUInt32LE(0);
const hash = bytes.readBigUInt64LE(4);
const parts = [];
for (let at = 12; at < bytes.length; ) {
  const length = bytes.readUInt32LE(at);
  parts.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)));
  at += 4 + length;
}
const [schema, ...frames] = parts;

const shortest = frames.map(() => Infinity);
for (let round = 0; round < Number(rounds); round++) {
  const decoder = new Decoder(schema, hz);
  frames.forEach((frame, n) => {
    const start = process.hrtime.bigint();
    decoder.apply(frame);
    const took = Number(process.hrtime.bigint() - start) / 1000;
    shortest[n] = Math.min(shortest[n], took);
  });
  if (decoder.hash() !== hash) throw new Error("wasm knows another state than was sent");
  decoder.free();
}
const later = shortest.slice(1);
console.log(later.reduce((sum, took) => sum + took, 0) / later.length);
