/** A server that other machines reach, through a proxy that calls it by another name. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { createServer, type IncomingMessage, request, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { Place } from "./fixture.ts"

const token = "a-token-of-some-length"
const name = "belfry.example.org"
const authorized = { authorization: `Bearer ${token}` }

/** Passes everything on to that port under the name, connections that are upgraded too. */
const proxyTo = async (port: number): Promise<Server> => {
  const onward = ({ headers, method, url }: IncomingMessage) =>
    request({ host: "127.0.0.1", port, method, path: url, headers: { ...headers, host: name } })
  const proxy = createServer((asked, answer) => {
    const sent = onward(asked).on("response", (response) => {
      answer.writeHead(response.statusCode!, response.headers)
      response.pipe(answer)
    })
    sent.on("error", () => answer.destroy())
    asked.pipe(sent)
  })
  proxy.on("upgrade", (asked, socket) => {
    const sent = onward(asked).on("upgrade", ({ rawHeaders, statusCode }, far, head) => {
      const lines = rawHeaders.flatMap((each, at) =>
        at % 2 === 0 ? [`${each}: ${rawHeaders[at + 1]}`] : []
      )
      socket.write([`HTTP/1.1 ${statusCode} Upgraded`, ...lines, "", ""].join("\r\n"))
      socket.write(head)
      far.on("error", () => socket.destroy()).pipe(socket)
      socket.on("error", () => far.destroy()).pipe(far)
    })
    sent.on("response", () => socket.destroy()).on("error", () => socket.destroy()).end()
  })
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
  return proxy
}

const portOf = (server: Server) => (server.address() as AddressInfo).port

/** A request under a name of its own. */
const asked = (port: number, path: string, host: string) =>
  new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = { ...authorized, host }
    request({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
      let text = ""
      response.on("data", (chunk) => text += chunk)
      response.on("end", () => resolve({ status: response.statusCode!, text }))
    }).on("error", reject).end()
  })

describe("a server behind a proxy", () => {
  const place = new Place()
  let port: number
  let proxy: Server

  beforeAll(async () => {
    const server = place.start([
      ...["server", "--sqlite", "x.db", "--port", "0", "--token", token],
      ...["--host", "0.0.0.0", "--behind-proxy"],
      ...["--served-as", name, "--served-as", "10.0.0.7"],
    ])
    port = Number((await server.says(/belfry server +http:\/\/0\.0\.0\.0:(\d+)/))[1])
    proxy = await proxyTo(port)
  }, 120_000)

  afterAll(async () => {
    await place.end()
    proxy.closeAllConnections()
    proxy.close()
  }, 60_000)

  it("is called by the names that it is served as, and by no other", async () => {
    const status = "/api/v1/status"
    for (const host of [name, `${name}:443`, name.toUpperCase(), "10.0.0.7:7070", "localhost"]) {
      assert.strictEqual((await asked(port, status, host)).status, 200, host)
    }
    const foreign = await asked(port, status, "another.example.org")
    assert.strictEqual(foreign.status, 421)
    assert.include(foreign.text, "--served-as")
    // Whoever sends it requests looks at its address, and has no token.
    assert.strictEqual((await asked(port, "/readyz", "10.1.2.3:7070")).status, 200)
  })

  it(
    "G27: has runs carried out by an executor that needs but the way out to the proxy",
    async () => {
      const env = { BELFRY_URL: `http://127.0.0.1:${portOf(proxy)}`, BELFRY_TOKEN: token }
      const executor = place.start(
        ["executor", "--samples", "--name", "on-premises", "--label", "site=cellar"],
        env,
      )
      await executor.says(/belfry executor on-premises/)
      const submit = ["run", "submit", "hello/world", '{"name":"Ada"}', "--wait"]
      const { code, err, out } = await place.run(submit, env)
      assert.strictEqual(code, 0, err)
      assert.strictEqual(JSON.parse(out), "Hello, Ada!")
      const { items } = JSON.parse((await place.run(["executor", "list", "--json"], env)).out)
      assert.deepInclude(items[0], { name: "on-premises", labels: { site: "cellar" } })
    },
    120_000,
  )

  it("refuses to start open to others without one, and under what is no name", async () => {
    const given = ["server", "--sqlite", "y.db", "--port", "0", "--token", token]
    const open = await place.run([...given, "--host", "0.0.0.0"])
    assert.strictEqual(open.code, 2)
    assert.include(open.err, "--behind-proxy")
    for (const wrong of [`https://${name}`, `${name}:443`, "10.0.0.7:443", `${name}/belfry`]) {
      const { code, err } = await place.run([...given, "--served-as", wrong])
      assert.strictEqual(code, 2, err)
      assert.include(err, wrong)
    }
  }, 120_000)
})
