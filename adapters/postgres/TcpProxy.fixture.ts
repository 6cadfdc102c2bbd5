/** Stands between a client and a server, and fails as networks do. For tests only. */
import { Effect, Redacted } from "effect"
import { connect, createServer, type Server, type Socket } from "node:net"

interface Link {
  readonly client: Socket
  readonly server: Socket
  /** What the client said first, in which PostgreSQL's clients name themselves. */
  name: string
  isSilent: boolean
  isLosing: boolean
}

export class TcpProxy {
  /** Through this proxy, to the same database. */
  readonly url: Redacted.Redacted<string>
  /** How many connections were asked for, also while it refused them. */
  asked = 0
  private readonly links = new Set<Link>()
  private readonly server: Server
  private isRefusing = false
  /** Words of a client whose answer is lost, until one has said so. */
  losing: string | undefined

  private constructor(server: Server, url: URL) {
    this.server = server
    this.url = Redacted.make(url.href)
  }

  static readonly to = (target: Redacted.Redacted<string>) =>
    Effect.acquireRelease(
      Effect.callback<TcpProxy>((resume) => {
        const url = new URL(Redacted.value(target))
        const [host, port] = [url.hostname, Number(url.port)]
        const server = createServer((client) => proxy.link(client, connect({ host, port })))
        let proxy: TcpProxy
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          if (typeof address === "object" && address !== null) url.port = `${address.port}`
          url.hostname = "127.0.0.1"
          proxy = new TcpProxy(server, url)
          resume(Effect.succeed(proxy))
        })
      }),
      (proxy) =>
        Effect.sync(() => {
          proxy.cut()
          proxy.server.close()
        }),
    )

  private link(client: Socket, server: Socket): void {
    this.asked++
    const link: Link = { client, server, name: "", isSilent: false, isLosing: false }
    const end = () => {
      client.destroy()
      server.destroy()
      this.links.delete(link)
    }
    for (const socket of [client, server]) socket.on("error", end).on("close", end)
    if (this.isRefusing) return end()
    this.links.add(link)
    client.on("data", (chunk) => {
      if (link.name === "") link.name = chunk.toString("latin1")
      if (this.losing !== undefined && chunk.includes(this.losing)) {
        this.losing = undefined
        link.isLosing = true
      }
      if (!link.isSilent) server.write(chunk)
    })
    server.on("data", (chunk) => {
      if (link.isSilent) return
      if (link.isLosing) return end()
      client.write(chunk)
    })
  }

  private each(part: string, act: (link: Link) => void): number {
    const some = [...this.links].filter(({ name }) => name.includes(part))
    some.forEach(act)
    return some.length
  }

  /** From now on nothing comes through on what is open, and nobody is told. */
  silence(part = ""): number {
    return this.each(part, (link) => {
      link.isSilent = true
    })
  }

  /** The next words of the server are lost with their connection, after it has heard ours. */
  loseNextAnswer(part = ""): number {
    return this.each(part, (link) => {
      link.isLosing = true
    })
  }

  cut(part = ""): number {
    return this.each(part, ({ client, server }) => {
      client.destroy()
      server.destroy()
    })
  }

  /** Cuts, and refuses connections until told otherwise. */
  refuse(isRefusing: boolean): void {
    this.isRefusing = isRefusing
    if (isRefusing) this.cut()
  }
}
