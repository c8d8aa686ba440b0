/**
 * Keeps the page for use without a network, and gives each answer the headers of a page that may use threads and may
 * reach nothing but its origin, whatever server it came from.
 */

declare const VERSION: string; // a hash of all files
declare const FILES: readonly string[]; // but the large ones, which the page keeps itself, and those of phantoms
declare const MODELS_CACHE: string;
declare const HEADERS: Readonly<Record<string, string>>; // those of headers.json

const scope = self as unknown as ServiceWorkerGlobalScope & typeof globalThis;
const CACHE = `qmedsam-${VERSION}`;
const PHANTOMS = "/phantoms/";

interface ServiceWorkerGlobalScope {
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly registration: ServiceWorkerRegistration;
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
}

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

scope.addEventListener("install", (event) => {
  const kept = caches.open(CACHE).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" }))));
  event.waitUntil(kept.then(() => scope.skipWaiting()));
});

scope.addEventListener("activate", (event) => {
  const forgotten = caches.keys().then((names) => Promise.all(names.filter((name) => ![CACHE, MODELS_CACHE].includes(name)).map((name) => caches.delete(name))));
  event.waitUntil(forgotten.then(() => scope.clients.claim()));
});

scope.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

/** What the server says, as long as it is there; so that what is kept never mixes with what is newer. */
async function answer(request: Request): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(request);
  } catch {
    response = (await caches.match(request, { ignoreSearch: true })) ?? Response.error();
  }
  if (request.mode === "navigate" && !(await isOurs(response))) {
    await scope.registration.unregister(); // another program serves on this port now
    return response;
  }
  if (response.ok && request.url.includes(PHANTOMS)) {
    await (await caches.open(CACHE)).put(request, response.clone()); // once one was tried, it can be tried again
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return response.type === "error" ? response : new Response(response.body, { status: response.status, headers });
}

const isOurs = async (page: Response): Promise<boolean> => (await page.clone().text()).includes("<title>QMedSAM");
