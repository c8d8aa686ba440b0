/** Files of the page, which lie there compressed so that any server sends few bytes. */

/** Download and decompress a file. */
export async function download(path: string, onBytes: (bytes: number) => void): Promise<Uint8Array> {
  const response = await fetch(path);
  if (!response.ok || !response.body) throw new Error(`${path} could not be downloaded (${response.status})`);
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      onBytes(chunk.length);
      controller.enqueue(chunk);
    },
  });
  const body = response.body.pipeThrough(counter);
  // Some servers say of .gz files that they are transferred compressed; the browser has decompressed them then.
  const isDone = response.headers.get("Content-Encoding") === "gzip";
  const plain = isDone ? body : body.pipeThrough(new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>);
  return new Uint8Array(await new Response(plain as BodyInit).arrayBuffer());
}
