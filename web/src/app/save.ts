/** What can be taken away: label maps, boxes, the case. */

import { encode } from "fast-png";
import { gzipSync } from "fflate";

import { Grid, Layout, boxOfFile, plainGrid, plainLayout, restore } from "../io/grid";
import { Image, spacingOf } from "../io/image";
import { writeNifti } from "../io/nifti";
import { writeNpz } from "../io/npz";
import { writeNrrd } from "../io/nrrd";
import { titleOf } from "./items";
import { Session } from "./session";

export interface Saved {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export type Format = "png" | "nifti" | "nrrd" | "json" | "npz";

export function save(session: Session, format: Format): Saved {
  const { image } = session;
  const base = image.name.replace(/(\.nii)?(\.[^.]*)?$/, "") || "image";
  switch (format) {
    case "png":
      return { name: `${base}${image.depth > 1 ? `-slice-${session.z}` : ""}-mask.png`, bytes: png(session) };
    case "nifti":
      return { name: `${base}-mask.nii.gz`, bytes: gzipSync(writeNifti(ofFile(session), gridOf(image))) };
    case "nrrd": {
      const segments = session.items.map((item) => ({ label: item.label, name: titleOf(item) }));
      return { name: `${base}-mask.nrrd`, bytes: writeNrrd(ofFile(session), gridOf(image), segments) };
    }
    case "json":
      return { name: `${base}-boxes.json`, bytes: new TextEncoder().encode(boxes(session)) };
    case "npz":
      return { name: `${base}.npz`, bytes: npz(session) };
  }
}

/** The label map of the slice that is shown: pixel value i is object i. */
function png(session: Session): Uint8Array {
  const { width, height } = session.image;
  const labels = session.maps.slice(session.items, session.z).labels;
  const data = isNarrow(session) ? Uint8Array.from(labels) : labels;
  return encode({ width, height, data, depth: isNarrow(session) ? 8 : 16, channels: 1 });
}

const isNarrow = (session: Session): boolean => session.items.every(({ label }) => label <= 255);

/** The label map of all slices, rows and columns. */
function labelMap(session: Session): Uint8Array | Uint16Array {
  const { width, height, depth } = session.image;
  const all = new (isNarrow(session) ? Uint8Array : Uint16Array)(width * height * depth);
  for (const z of new Set(session.items.flatMap(({ layers }) => [...(layers?.keys() ?? [])]))) {
    all.set(session.maps.slice(session.items, z).labels, z * width * height);
  }
  return all;
}

/** The same as the file stores its voxels. */
const ofFile = (session: Session): Uint8Array | Uint16Array => restore(labelMap(session), layoutOf(session.image));

const gridOf = ({ grid, width, height }: Image): Grid => grid ?? plainGrid([width, height, 1], [1, 1, 1], 2);

const layoutOf = ({ layout, width, height }: Image): Layout => layout ?? plainLayout([width, height, 1]);

/** The boxes as `qmedsam segment --boxes` takes them: voxel indices of the file. */
function boxes(session: Session): string {
  const { image } = session;
  const list = session.items.map((item) => ({
    label: item.label,
    ...(item.name ? { name: item.name } : {}),
    box: image.grid ? boxOfFile(box3d(item), layoutOf(image)) : item.box,
  }));
  return `[\n${list.map((entry) => `  ${JSON.stringify(entry)}`).join(",\n")}\n]\n`;
}

const box3d = ({ box, first, last }: Session["items"][number]): number[] => [box[0], box[1], first, box[2], box[3], last];

/** The case as the challenge has it, as it is shown: `imgs`, `boxes`, `spacing` in 3D; and `segs`, what was found. */
function npz(session: Session): Uint8Array {
  const { image, items } = session;
  const { width, height, depth, channels } = image;
  const isVolume = depth > 1;
  const size = width * height * channels;
  const imgs = new Uint8Array(depth * size);
  for (let z = 0; z < depth; z++) imgs.set(session.planeOf(z, session.shades).data, z * size);
  const sides = [...(isVolume ? [depth] : []), height, width];
  const table = items.flatMap((item) => (isVolume ? box3d(item) : [...item.box]));
  const places = new Map(items.map((item, i) => [item.label, i + 1])); // in a case, i is the object of the i-th box
  const spacing = isVolume ? spacingOf(image) : null;
  return writeNpz({
    imgs: { shape: [...sides, ...(channels === 3 ? [3] : [])], data: imgs },
    boxes: { shape: [items.length, isVolume ? 6 : 4], data: Int32Array.from(table) },
    segs: { shape: sides, data: labelMap(session).map((label) => places.get(label) ?? 0) },
    ...(spacing ? { spacing: { shape: [3], data: Float32Array.from(spacing) } } : {}),
  });
}
