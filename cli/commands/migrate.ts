/** `belfry migrate`: the schema in PostgreSQL, by a role that may build it. */
import { Command, Flag } from "effect/cli"
import { databaseUrl } from "../flags.ts"
import { lazily } from "../lazily.ts"

export const migrate = Command.make("migrate", {
  databaseUrl,
  grantTo: Flag.String("grant-to").pipe(
    Flag.withMetavar("role"),
    Flag.withDescription("Role that servers have, which then needs no right to build anything"),
    Flag.atLeast(0),
  ),
}, (given) => lazily(() => import("../roles/migrate.ts"), ({ migrate }) => migrate(given))).pipe(
  Command.withDescription("Bring the schema in PostgreSQL up to date"),
  Command.withExamples([
    { command: "belfry migrate --database-url postgres://owner@db.example.org/app --grant-to web" },
  ]),
)
