/** `belfry cluster up`: several processes on one PostgreSQL, to see what holds when one dies. */
import { Command, Flag } from "effect/cli"
import {
  databaseUrl,
  files,
  json,
  namespace,
  port,
  servedAs,
  unlessNamed,
  whole,
} from "../flags.ts"
import { lazily } from "../lazily.ts"

export const clusterUp = Command.make("up", {
  files,
  namespace,
  schedulers: Flag.Int("schedulers").pipe(
    unlessNamed(2, "So many scheduler processes"),
  ),
  executors: Flag.Int("executors").pipe(
    unlessNamed(3, "So many executor processes"),
  ),
  concurrency: whole("concurrency", { from: 1, to: 10_000 }).pipe(
    unlessNamed(10, "So many runs at once in each executor"),
  ),
  port: port.pipe(
    unlessNamed(7070, "Port of the first scheduler; the next free ones for the others"),
  ),
  servedAs,
  databaseUrl,
  json,
}, (given) => lazily(() => import("../roles/cluster.ts"), ({ clusterUp }) => clusterUp(given)))
  .pipe(
    Command.withDescription(
      "Run schedulers and executors as processes of this machine; PostgreSQL is started if none is named",
    ),
    Command.withExamples([
      { command: "belfry cluster up", description: "2 schedulers, 3 executors, sample tasks" },
      { command: "belfry cluster up tasks.ts --schedulers 3 --executors 8" },
      { command: "belfry cluster up --json", description: "What happens, one JSON line each" },
    ]),
  )
