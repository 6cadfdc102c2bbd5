import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Server } from "../Server.ts"
import { authorized, call, document, endpoints, Main, problem, secret } from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("who is let in", (it) => {
  it("knows all endpoints", () => assert.isAtLeast(endpoints.length, 17))

  const wrong = {
    "no token": {},
    "a wrong token": { authorization: "Bearer not-the-token-of-the-tests" },
    "another scheme": { authorization: `Basic ${btoa(`x:${secret}`)}` },
  }
  for (const { declared, method, path } of endpoints) {
    for (const [kind, headers] of Object.entries(wrong)) {
      it.effect(`${method} ${declared} with ${kind} is 401`, () =>
        Effect.gen(function* () {
          const answer = yield* call(method, path, headers)
          problem(answer, "token-refused", 401)
          assert.match(String(answer.headers["www-authenticate"]), /^Bearer/)
        }))
    }
  }

  it.effect("neither pages nor unknown paths nor spellings are answered without a token", () =>
    Effect.gen(function* () {
      const paths = [
        "/",
        "/api",
        "/api/docs",
        "/api/openapi.json",
        "/rpc",
        "//api/v1/runs",
        "/api//v1/runs",
        "/api/v1/runs/",
        "/api/v1/%72uns",
        "/livez/../api/v1/runs",
        "/livez/",
        "//livez",
        "/livez;x/api/v1/runs",
        "/livez%2f..%2fapi/v1/runs",
        "/LIVEZ",
        "/API/V1/RUNS",
        "http://localhost/api/v1/runs",
      ]
      for (const path of paths) {
        for (const method of ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]) {
          const { status } = yield* call(method, path, { "x-http-method-override": "GET" })
          assert.include([400, 401], status, `${method} ${path}`)
        }
      }
    }))

  it.effect("a browser may show the pages with the token as password", () =>
    Effect.gen(function* () {
      const basic = { authorization: `Basic ${btoa(`anyone:${secret}`)}` }
      const refused = yield* call("GET", "/api/docs")
      assert.match(String(refused.headers["www-authenticate"]), /^Basic/)
      const page = yield* call("GET", "/api/docs", basic)
      assert.strictEqual(page.status, 200)
      assert.match(String(page.headers["content-security-policy"]), /default-src 'none'/)
      assert.notMatch(page.text, /<script[^>]+src=/)
      const shown = yield* call("GET", "/api/openapi.json", basic)
      const described = JSON.parse(shown.text)
      assert.strictEqual(described.openapi, "3.1.0")
      assert.deepStrictEqual(Object.keys(described.paths), Object.keys(document.paths))
    }))

  it.effect("probes are public and empty", () =>
    Effect.gen(function* () {
      for (const path of ["/livez", "/readyz", "/startupz"]) {
        const { status, text } = yield* call("GET", path, { host: "10.1.2.3" })
        assert.deepStrictEqual([status, text], [200, ""])
      }
    }))

  it.effect("foreign host names and origins are refused, even with the token", () =>
    Effect.gen(function* () {
      for (const host of ["evil.example", "evil.example:7070", "127.0.0.1.evil.example", "a@b"]) {
        const answer = yield* call("GET", "/api/v1/runs", { ...authorized, host })
        problem(answer, "host-refused", 421)
      }
      problem(
        yield* call("GET", "/api/v1/runs", { ...authorized, origin: "http://evil.example" }),
        "origin-refused",
        403,
      )
      const { port } = yield* Server
      const own = yield* call("GET", "/api/v1/runs", {
        ...authorized,
        host: `localhost:${port}`,
        origin: `http://localhost:${port}`,
      })
      assert.strictEqual(own.status, 200)
    }))

  it.effect("a connection of an executor is refused before it opens", () =>
    Effect.gen(function* () {
      const upgrade = {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      }
      assert.strictEqual((yield* call("GET", "/rpc", upgrade)).status, 401)
      const foreign = { ...upgrade, ...authorized, origin: "http://evil.example" }
      assert.strictEqual((yield* call("GET", "/rpc", foreign)).status, 403)
    }))
})
