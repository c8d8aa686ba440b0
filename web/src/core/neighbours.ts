/**
 * What else boxes ask for where an object is looked for, as inference/segment/neighbours.py draws it: where the boxes
 * of others lie that overlap an object's own, smaller ones and larger ones in a map each.
 */

const STRIDE = 4; // input pixels per pixel of the maps

/**
 * @param boxes in input pixels, of all objects on one window.
 * @param related whether two objects can meet at all.
 * @returns (2, S/4, S/4) of each object, 0..1: smaller neighbours, others.
 */
export function neighbourMaps(
  boxes: readonly (readonly number[])[],
  related: (one: number, other: number) => boolean,
  inputSize: number,
): Float32Array[] {
  const size = inputSize / STRIDE;
  const area = (box: readonly number[]): number => (box[2] - box[0]) * (box[3] - box[1]);
  return boxes.map((own, index) => {
    const maps = new Float32Array(2 * size * size);
    boxes.forEach((box, other) => {
      if (other === index || !related(index, other) || !overlap(own, box)) return;
      const start = area(box) < area(own) ? 0 : size * size;
      for (let y = 0; y < size; y++) {
        const inY = covered(y, box[1] / STRIDE, box[3] / STRIDE);
        if (!inY) continue;
        for (let x = 0; x < size; x++) {
          const at = start + y * size + x;
          maps[at] = Math.max(maps[at], inY * covered(x, box[0] / STRIDE, box[2] / STRIDE));
        }
      }
    });
    return maps;
  });
}

const overlap = (a: readonly number[], b: readonly number[]): boolean =>
  Math.max(a[0], b[0]) < Math.min(a[2], b[2]) && Math.max(a[1], b[1]) < Math.min(a[3], b[3]);

/** How much of pixel `at` lies between `low` and `high`. */
const covered = (at: number, low: number, high: number): number =>
  Math.max(0, Math.min(at + 1, high) - Math.max(at, low));
