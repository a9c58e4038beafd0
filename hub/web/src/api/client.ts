/**
 * The hub's API with its types. schema.d.ts beside this file is generated from the
 * OpenAPI document; this is all that is written by hand.
 */
import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

/** What the hub's answers hold, by name: Schemas["Printer"]. */
export type Schemas = components["schemas"];

export interface Options {
  /** Where the hub is: https://farm.example.com. A page that the hub serves leaves it out. */
  origin?: string;
  /** An API key. Without one the session cookie of the browser says who calls. */
  apiKey?: string;
  /** Instead of the global one. */
  fetch?: (request: Request) => Promise<Response>;
}

export type Api = Client<paths>;

/** The API of a hub. A call that is refused throws an ApiError, one that does not arrive a TypeError of fetch. */
export function connect({ origin = "", apiKey, fetch }: Options = {}): Api {
  const api = createClient<paths>({
    baseUrl: `${origin.replace(/\/+$/, "")}/api/v1`,
    credentials: "same-origin",
    ...(apiKey === undefined ? {} : { headers: { "X-API-Key": apiKey } }),
    ...(fetch === undefined ? {} : { fetch }),
  });
  api.use(refusals);
  return api;
}

/** A refusal in the form of all the hub's errors. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    /** HTTP status; 0 is never one. */
    readonly status: number,
    /** Upper snake case, for programs: NOT_FOUND. It is UNKNOWN when something between here and the hub answered. */
    readonly code: string,
    /** What is wrong, for a person. */
    readonly detail: string,
    /** Seconds to wait, where the hub says so. */
    readonly retryAfter: number | null,
    /** The request's id in the hub's log. */
    readonly requestId: string | null,
  ) {
    super(detail);
  }
}

const refusals: Middleware = {
  async onResponse({ response, schemaPath }) {
    // A hub without its database tells its health with 503, in the same body.
    if (response.ok || response.status === 304 || schemaPath === "/health") {
      return;
    }
    throw await refusal(response);
  },
};

async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text();
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const rest = [Number.isNaN(wait) ? null : wait, response.headers.get("X-Request-Id")] as const;
  try {
    const body: unknown = JSON.parse(text);
    if (isError(body)) {
      return new ApiError(response.status, body.code, body.detail, ...rest);
    }
  } catch {
    // no JSON: a proxy's page
  }
  return new ApiError(response.status, "UNKNOWN", `${response.status} ${response.statusText}`.trim(), ...rest);
}

function isError(body: unknown): body is Schemas["Error"] {
  return (
    typeof body === "object" &&
    body !== null &&
    "code" in body &&
    "detail" in body &&
    typeof body.code === "string" &&
    typeof body.detail === "string"
  );
}

interface Answer<T> {
  data?: T;
  response: Response;
}

/** The body of an answer. */
export async function body<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, response } = await call;
  if (data === undefined) {
    throw new ApiError(response.status, "UNKNOWN", "the answer has no body", null, response.headers.get("X-Request-Id"));
  }
  return data;
}

/** One page of a list. */
export interface Page<T> {
  items: T[];
  /** How many there are in all. */
  total: number;
  /** For the next page; null on the last, and of a list that has no pages. */
  next: string | null;
}

/** A list, with what its headers say of it. */
export async function page<T>(call: Promise<Answer<T[]>>): Promise<Page<T>> {
  const answer = await call;
  const items = await body(Promise.resolve(answer));
  const total = Number.parseInt(answer.response.headers.get("X-Total-Count") ?? "", 10);
  return { items, total: Number.isNaN(total) ? items.length : total, next: answer.response.headers.get("X-Next-Cursor") };
}

/** All that pages hold, one after the other; `load` gets the cursor of each but the first. */
export async function* all<T>(load: (cursor: string | undefined) => Promise<Page<T>>): AsyncGenerator<T> {
  let cursor: string | undefined;
  do {
    const { items, next } = await load(cursor);
    yield* items;
    cursor = next ?? undefined;
  } while (cursor !== undefined);
}
