/** `belfry dev`: all of it in one terminal. */
import { Command, Flag } from "effect/cli"
import { databaseUrl, files, json, namespace, port, servedAs, unlessNamed } from "../flags.ts"
import { lazily } from "../lazily.ts"

export const dev = Command.make("dev", {
  files,
  namespace,
  port: port.pipe(
    unlessNamed(7070, "Port to listen at; the next free one if it is taken"),
  ),
  servedAs,
  memory: Flag.Boolean("memory").pipe(
    Flag.withDescription("Keep everything in memory, gone at the end"),
    Flag.withDefault(false),
  ),
  databaseUrl,
  json,
}, (given) => lazily(() => import("../roles/dev.ts"), ({ dev }) => dev(given))).pipe(
  Command.withDescription(
    "Run a server and an executor here: for the given files, reloaded when they change, or for samples",
  ),
  Command.withExamples([
    { command: "belfry dev", description: "Sample tasks, state in .belfry/" },
    { command: "belfry dev tasks/billing.ts", description: "Your own, reloaded when they change" },
    { command: "belfry dev --memory --port 8080" },
  ]),
)
