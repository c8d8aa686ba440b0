/** Reads files where the page need not wait. */

import { openFiles } from "../io/open";
import { Handover, connect } from "./rpc";

connect(self as unknown as Worker, {
  async open({ files, choice }: { files: readonly File[]; choice: number }) {
    const image = await openFiles(files, choice);
    return new Handover(image, [image.values.buffer as ArrayBuffer]);
  },
});
