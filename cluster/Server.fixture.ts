/** A server over real HTTP on the loopback, with an executor in the same process. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { OpenApi } from "effect/http-api"
import { request } from "node:http"
import * as Direct from "../adapters/direct/mod.ts"
import * as Memory from "../adapters/memory/mod.ts"
import * as Blocking from "../core/domain/Blocking.ts"
import type { RunId } from "../core/domain/RunId.ts"
import { Executor } from "../core/engine/Executor.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import * as Task from "../core/engine/Task.ts"
import { Api } from "./api/Api.ts"
import * as ApiClient from "./api/ApiClient.ts"
import { Server } from "./Server.ts"

export const secret = "a-token-of-the-tests-and-nobody-else"
export const token = Redacted.make(secret)

export const Hello = Task.make("hello/world", {
  payload: { name: Schema.String },
  success: Schema.String,
})
export const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))

export const Lonely = Task.make("lonely", { policy: { blocking: Blocking.discard } })
export const LonelyLive = Lonely.toLayer(() => Effect.never)

export const Exits = Task.make("exits", { error: Schema.String })
export const ExitsLive = Exits.toLayer(() => Effect.fail("no way"))

export const Platform = Direct.layer.pipe(
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(LocalOwnership.layer),
)

export const Main = Layer.mergeAll(HelloLive, LonelyLive, ExitsLive).pipe(
  Layer.provideMerge(Executor.layerWith({ name: "in-process", drainTimeout: "10 millis" })),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Platform),
)

export const api = Effect.flatMap(Server, ({ url }) => ApiClient.make({ url, token }))

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  readonly text: string
}

/** A request as it is written here: neither the path nor the host is mended on the way. */
export const call = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string,
) =>
  Effect.flatMap(Server, ({ port }) =>
    Effect.callback<Answer>((resume) => {
      const sent = request(
        { host: "127.0.0.1", port, method, path, headers, agent: false },
        (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("end", () =>
            resume(Effect.succeed({
              status: response.statusCode!,
              headers: response.headers,
              text: Buffer.concat(chunks).toString(),
            })))
          response.on("error", (error) => resume(Effect.die(error)))
        },
      )
      sent.on("error", (error) => resume(Effect.die(error)))
      sent.end(body)
    }))

export const authorized = { authorization: `Bearer ${secret}` }

export const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  call(
    "POST",
    path,
    { ...authorized, "content-type": "application/json", ...headers },
    typeof body === "string" ? body : JSON.stringify(body),
  )

export const problem = ({ headers, status, text }: Answer, code: string, expected: number) => {
  assert.strictEqual(status, expected, text)
  assert.strictEqual(headers["content-type"], "application/problem+json")
  const read = JSON.parse(text)
  assert.strictEqual(read.code, code)
  assert.strictEqual(read.status, expected)
  assert.strictEqual(read.type, `urn:belfry:problem:${code}`)
  for (const word of ["title", "detail", "remedy"]) assert.match(read[word], /^\S.+/)
  assert.notMatch(text, /node_modules|\.ts\b|\\n *at |SELECT|127\.0\.0\.1/)
  return read
}

export const untilEnded = Effect.fnUntraced(function* (id: RunId) {
  const client = yield* api
  for (;;) {
    const run = yield* client.runs.get({ params: { id }, query: {} })
    if (run.finishedAt !== undefined) return run
    yield* Effect.sleep(10)
  }
})

export const document = OpenApi.fromApi(Api)
export const endpoints = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.keys(item).map((method) => ({
    method: method.toUpperCase(),
    path: path.replace("{id}", "17").replace("{name}", "hello%2Fworld").replace(
      "{incarnation}",
      "1",
    ),
    declared: path,
  }))
)
