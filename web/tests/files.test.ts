/** Files of every kind are read as `qmedsam segment` reads them: the same voxels, 0..255, and the same boxes. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Session } from "../src/app/session";
import { boxOfFile } from "../src/io/grid";
import { openFiles } from "../src/io/open";
import { arraysOf, filesOf, fixture, names } from "./fixtures";

describe("a file is read as the runtime reads it", async () => {
  for (const name of await names("files")) {
    test(name, async () => {
      const image = await openFiles(await filesOf("files", name), 0);
      const expected = await arraysOf(fixture("expected", `${name}.npz`));
      const { shape, data } = expected.get("volume")!;
      assert.deepEqual([image.depth, image.height, image.width, image.channels], [...shape, 1].slice(0, 4));
      const session = new Session(image, 1, () => undefined);
      const size = image.height * image.width * image.channels;
      for (let z = 0; z < image.depth; z++) {
        const plane = session.planeOf(z, session.shades).data;
        assert.deepEqual(plane, data.subarray(z * size, (z + 1) * size), `slice ${z}`);
      }
      const box = [...expected.get("boxes")!.data];
      const given = [...expected.get("given")!.data];
      assert.deepEqual(image.layout ? boxOfFile(box, image.layout) : box, given);
    });
  }
});

test("of several series one is chosen, the largest first", async () => {
  const [series, frames] = [await filesOf("files", "series"), await filesOf("files", "lossless.dcm")];
  const first = await openFiles([...frames, ...series], 0);
  assert.deepEqual([first.depth, first.choices.length], [9, 2]);
  assert.match(first.choices[0], /CT 40 × 32, 9 slices/);
  assert.equal((await openFiles([...frames, ...series], 1)).depth, 1);
});

test("a slice that is missing is told, and where", async () => {
  const files = await filesOf("files", "series");
  await assert.rejects(openFiles(files.slice(0, 4).concat(files.slice(5)), 0), /missing or not evenly spaced .* from slice \d/);
});

describe("what is broken is refused in one line that names it", async () => {
  for (const name of await names("broken")) {
    test(name, async () => {
      await assert.rejects(openFiles(await filesOf("broken", name), 0), (error: Error) => {
        assert.match(error.message, new RegExp(`^${name.replaceAll(".", "\\.")}: [^\\n]{10,200}$`));
        return true;
      });
    });
  }
});
