/** Calls across the border of a worker: either side calls the other's methods, and may send values on the way. */

export type Send = (value: unknown, transfer?: Transferable[]) => void;
export type Methods = Readonly<Record<string, (args: never, send: Send) => unknown>>;
export type Call = <T>(method: string, args: unknown, onValue?: (value: never) => void, transfer?: Transferable[]) => Promise<T>;

interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

/** What a method returns when it hands buffers over instead of having them copied. */
export class Handover<T> {
  constructor(
    readonly value: T,
    readonly buffers: Transferable[],
  ) {}
}

interface Message {
  readonly kind: "call" | "value" | "result" | "error";
  readonly id: number;
  readonly method?: string;
  readonly value: unknown;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onValue?(value: never): void;
}

/** Offer `methods` to the other side; returns how to call its own. */
export function connect(port: Port, methods: Methods): Call {
  const pending = new Map<number, Pending>();
  let calls = 0;
  const post = (kind: Message["kind"], id: number, value: unknown, transfer: Transferable[] = [], method?: string): void =>
    port.postMessage({ kind, id, value, method }, transfer);

  async function answer(id: number, method: string, args: unknown): Promise<void> {
    try {
      const result = await methods[method](args as never, (value, transfer) => post("value", id, value, transfer));
      if (result instanceof Handover) post("result", id, result.value, result.buffers);
      else post("result", id, result);
    } catch (error) {
      post("error", id, error instanceof Error ? error.message : String(error));
    }
  }

  port.addEventListener("message", ({ data }: MessageEvent<Message>) => {
    if (data.kind === "call") {
      void answer(data.id, data.method!, data.value);
      return;
    }
    const call = pending.get(data.id);
    if (!call) return;
    if (data.kind === "value") {
      call.onValue?.(data.value as never);
      return;
    }
    pending.delete(data.id);
    if (data.kind === "result") call.resolve(data.value);
    else call.reject(new Error(String(data.value)));
  });

  return <T>(method: string, args: unknown, onValue?: (value: never) => void, transfer: Transferable[] = []) =>
    new Promise<T>((resolve, reject) => {
      const id = ++calls;
      pending.set(id, { resolve: resolve as (value: unknown) => void, reject, onValue });
      post("call", id, args, transfer, method);
    });
}
