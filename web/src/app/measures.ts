/** What is said of an object: how large it is, how bright. */

import { Image, spacingOf } from "../io/image";
import { Figures } from "./labels";

const MM2_PER_CM2 = 100;
const MM3_PER_ML = 1000;

export function sizeText(image: Image, count: number): string {
  const spacing = spacingOf(image);
  const unit = image.depth > 1 ? "voxels" : "px";
  const counted = `${count.toLocaleString("en")} ${unit}`;
  if (!spacing) return counted;
  const [apart, high, wide] = spacing;
  if (image.depth > 1) return `${three((count * apart * high * wide) / MM3_PER_ML)} ml · ${counted}`;
  return `${three((count * high * wide) / MM2_PER_CM2)} cm² · ${counted}`;
}

/** Empty of colours, which have no intensity. */
export function intensityText(image: Image, { count, sum, squares, least, greatest }: Figures): string {
  if (image.channels !== 1) return "";
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(squares / count - mean * mean, 0));
  const unit = image.modality === "CT" ? " HU" : "";
  return `${three(mean)} ± ${three(deviation)}${unit} (${three(least)} to ${three(greatest)})`;
}

/** Three digits, as many before the point as there are. */
const three = (value: number): string =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
