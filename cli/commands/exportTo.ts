/** `belfry export`: all that a storage keeps, into a file. */
import { Argument, Command } from "effect/cli"
import { databaseUrl, json, sqlite } from "../flags.ts"
import { lazily } from "../lazily.ts"

export const exportTo = Command.make("export", {
  file: Argument.String("file").pipe(
    Argument.withDescription("File to make; - for standard output"),
  ),
  sqlite,
  databaseUrl,
  json,
}, (given) => lazily(() => import("../roles/transfer.ts"), ({ exportTo }) => exportTo(given))).pipe(
  Command.withDescription("Export all that a storage keeps, as of one instant"),
  Command.withExamples([
    { command: "belfry export belfry.jsonl", description: "What `belfry dev` keeps here" },
    { command: "belfry export - --sqlite belfry.db | gzip > belfry.jsonl.gz" },
  ]),
)
