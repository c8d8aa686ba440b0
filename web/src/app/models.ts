/** The worker that runs the models, as the page sees it. */

import { Box } from "../core/geometry";
import type { Answer, Follow, FoundOnSlice } from "../workers/model";
import { Call, Handover, connect } from "../workers/rpc";
import { Session } from "./session";

export const ANOTHER_IMAGE = "another image is open now"; // why an answer does not come

export class Models {
  private readonly call: Call;

  /** @param session the one whose slices are asked for, by the names that it gave them. */
  constructor(session: () => Session | null) {
    const worker = new Worker(new URL("model.js", import.meta.url), { type: "module" });
    this.call = connect(worker, {
      plane({ key }: { key: string }) {
        const now = session();
        if (!now || !key.includes(`/${now.number}/`)) throw new Error(ANOTHER_IMAGE);
        const plane = now.plane(key);
        return new Handover(plane, [plane.data.buffer as ArrayBuffer]);
      },
    });
  }

  load(onBytes: (bytes: number) => void): Promise<void> {
    return this.call("load", null, onBytes);
  }

  encode(key: string): Promise<void> {
    return this.call("encode", { key });
  }

  segment(key: string, box: Box, onFirst: (answer: Answer) => void): Promise<Answer> {
    return this.call("segment", { key, box }, onFirst);
  }

  follow(follow: Follow, onValue: (value: FoundOnSlice | number) => void): Promise<{ stopped: boolean }> {
    return this.call("follow", follow, onValue);
  }

  stop(): Promise<void> {
    return this.call("stop", null);
  }
}
