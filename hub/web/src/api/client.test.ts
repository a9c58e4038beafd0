import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import { ApiError, all, body, connect, page } from "./client";

/** A hub that says what the test wants, and notes what it was asked. */
let hub: Server;
let origin: string;
let asked: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[];
let answer: (response: ServerResponse, url: string) => void;

beforeEach(async () => {
  asked = [];
  hub = createServer(async (request, response) => {
    let sent = "";
    for await (const chunk of request) {
      sent += chunk;
    }
    asked.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body: sent });
    answer(response, request.url ?? "");
  });
  await new Promise<void>((listening) => hub.listen(0, "127.0.0.1", listening));
  origin = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
});

afterEach(async () => {
  hub.closeAllConnections();
  await new Promise((closed) => hub.close(closed));
});

function json(status: number, value: unknown, headers: Record<string, string> = {}): (response: ServerResponse) => void {
  return (response) => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };
}

async function refused(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

describe("a call", () => {
  test("carries the key, path and query, and gives the typed body", async () => {
    answer = json(200, { state: "printing", progress: 45 });
    const api = connect({ origin: `${origin}/`, apiKey: "bb_test" });
    const status = await body(api.GET("/printers/{id}/status", { params: { path: { id: 1 } } }));
    expectTypeOf(status.progress).toEqualTypeOf<number | null>();
    expect(status.progress).toBe(45);
    expect(asked[0]).toMatchObject({ method: "GET", url: "/api/v1/printers/1/status" });
    expect(asked[0]?.headers["x-api-key"]).toBe("bb_test");
  });

  test("without a key sends none", async () => {
    answer = json(200, []);
    await connect({ origin }).GET("/printers", { params: { query: { limit: 2 } } });
    expect(asked[0]?.url).toBe("/api/v1/printers?limit=2");
    expect(asked[0]?.headers["x-api-key"]).toBeUndefined();
  });

  test("sends the reference's example as JSON", async () => {
    answer = json(201, { id: 2 });
    const sent = { name: "New Printer", ip_address: "192.168.1.101", access_code: "12345678", serial_number: "01P00A000000002" };
    await connect({ origin }).POST("/printers", { body: sent });
    expect(asked[0]?.headers["content-type"]).toBe("application/json");
    expect(JSON.parse(asked[0]?.body ?? "")).toEqual(sent);
  });

  test("goes through the fetch it is given", async () => {
    const api = connect({ origin, fetch: async (request) => Response.json([{ id: new URL(request.url).pathname.length }]) });
    expect(await body(api.GET("/printers"))).toEqual([{ id: "/api/v1/printers".length }]);
    expect(asked).toEqual([]);
  });
});

describe("a refusal", () => {
  test("is an ApiError with code, detail and the time to wait", async () => {
    answer = json(429, { detail: "more than 100 requests a minute", code: "RATE_LIMITED" }, { "Retry-After": "12", "X-Request-Id": "r1" });
    const error = await refused(connect({ origin }).GET("/printers"));
    expect(error).toMatchObject({
      status: 429,
      code: "RATE_LIMITED",
      detail: "more than 100 requests a minute",
      retryAfter: 12,
      requestId: "r1",
    });
  });

  test.each([
    ["a proxy's page", "<html>502</html>"],
    ["JSON of another form", '{"error":"x"}'],
    ["nothing", ""],
  ])("by %s is one too", async (_, text) => {
    answer = (response) => {
      response.writeHead(502);
      response.end(text);
    };
    expect(await refused(connect({ origin }).GET("/printers"))).toMatchObject({ status: 502, code: "UNKNOWN", retryAfter: null });
  });

  test("is not what an ill hub says of itself", async () => {
    answer = json(503, { status: "degraded", database: "disconnected" });
    const { error } = await connect({ origin }).GET("/health");
    expect(error).toMatchObject({ database: "disconnected" });
  });

  test("is what an answer without a body is for who needs one", async () => {
    answer = (response) => response.writeHead(204).end();
    await refused(body(connect({ origin }).GET("/printers")));
  });
});

describe("a list", () => {
  test("has its length and the cursor of the next page", async () => {
    answer = json(200, [{ id: 3 }], { "X-Total-Count": "7", "X-Next-Cursor": "3" });
    const found = await page(connect({ origin }).GET("/audit", { params: { query: { limit: 1 } } }));
    expect(found).toEqual({ items: [{ id: 3 }], total: 7, next: "3" });
  });

  test("is read to its end", async () => {
    answer = (response, url) => {
      const last = url.includes("cursor=3");
      json(200, last ? [{ id: 2 }] : [{ id: 4 }, { id: 3 }], last ? {} : { "X-Next-Cursor": "3" })(response);
    };
    const api = connect({ origin });
    const ids: number[] = [];
    for await (const entry of all((cursor) =>
      page(api.GET("/audit", { params: { query: cursor === undefined ? {} : { cursor: Number(cursor) } } })),
    )) {
      ids.push(entry.id);
    }
    expect(ids).toEqual([4, 3, 2]);
    expect(asked).toHaveLength(2);
  });
});
