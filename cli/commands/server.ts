/** `belfry server`: schedulers, REST and RPC over a storage. */
import { Command, Flag } from "effect/cli"
import { particulars } from "../../core/services/Required.ts"
import { databaseUrl, port, servedAs, unlessNamed } from "../flags.ts"
import { lazily } from "../lazily.ts"

export const server = Command.make("server", {
  databaseUrl,
  sqlite: Flag.String("sqlite").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("SQLite file, made if it does not exist"),
    Flag.optional,
  ),
  wakeups: Flag.Redacted("wakeups").pipe(
    Flag.withDescription(
      "Redis that carries hints, as in redis://host:6379, for all or no servers",
    ),
    Flag.optional,
  ),
  require: Flag.Literals("require", particulars).pipe(
    Flag.withDescription("What every task must say of itself; may be given twice"),
    Flag.atLeast(0),
  ),
  host: Flag.String("host").pipe(
    unlessNamed(
      "127.0.0.1",
      "Address to listen at, with --behind-proxy also others than the loopback",
    ),
  ),
  port: port.pipe(
    unlessNamed(7070, "Port to listen at; 0 takes any that is free"),
  ),
  behindProxy: Flag.Boolean("behind-proxy").pipe(
    Flag.withDescription("Something before it ends TLS, so it may listen to other machines"),
    Flag.withDefault(false),
  ),
  servedAs,
  token: Flag.Redacted("token").pipe(
    Flag.withDescription("Whoever shows it may do everything (BELFRY_TOKEN)"),
    Flag.optional,
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withDescription("File that holds the token"),
    Flag.optional,
  ),
}, (given) => lazily(() => import("../roles/server.ts"), ({ server }) => server(given))).pipe(
  Command.withDescription("Run a server: REST, RPC for executors, and the firing of triggers"),
  Command.withExamples([
    { command: "belfry server --sqlite belfry.db --token-file token" },
    { command: "belfry server --database-url postgres://belfry@db.example.org/belfry" },
    {
      command: "belfry server --host 0.0.0.0 --behind-proxy --served-as belfry.example.org",
      description: "Behind a proxy on another machine, which ends TLS",
    },
  ]),
)
