/** The masks are those of `qmedsam cases`, whose arithmetic is another (OpenVINO, bf16 or int8 kernels). */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fixture, hasFixtures, names } from "./fixtures";
import { loadModels } from "./models";
import { Agreement, compare, meanDice } from "./parity";

const model = await loadModels();

function check(all: Agreement[], mean: number, least: number): void {
  for (const { name, dice } of all) assert.ok(meanDice([{ name, dice }]) >= least, `${name}: ${dice}`);
  assert.ok(meanDice(all) >= mean, `mean Dice ${meanDice(all)}`);
}

test("phantoms have the runtime's masks", async () => {
  check(await compare(model, fixture("cases"), fixture("masks"), await names("masks")), 0.99, 0.97);
});

const skip = hasFixtures("val") ? false : "the validation data are not there";

test("real cases have the runtime's masks", { skip }, async () => {
  check(await compare(model, fixture("val"), fixture("val-masks"), await names("val-masks")), 0.99, 0.97);
});
