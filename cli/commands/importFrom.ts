/** `belfry import`: all that a file of `belfry export` has, into an empty storage. */
import { Argument, Command } from "effect/cli"
import { databaseUrl, json, sqlite } from "../flags.ts"
import { lazily } from "../lazily.ts"

export const importFrom = Command.make(
  "import",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription("File that `belfry export` has made; - for standard input"),
    ),
    sqlite,
    databaseUrl,
    json,
  },
  (given) => lazily(() => import("../roles/transfer.ts"), ({ importFrom }) => importFrom(given)),
).pipe(
  Command.withDescription("Import an export into an empty storage: all of it, or nothing"),
  Command.withExamples([
    { command: "belfry import belfry.jsonl --database-url postgres://belfry@db.example.org/app" },
    { command: "gunzip -c belfry.jsonl.gz | belfry import - --sqlite belfry.db" },
  ]),
)
