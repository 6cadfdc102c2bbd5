/** `belfry executor`: carries tasks out for a server elsewhere. */
import { Command, Flag } from "effect/cli"
import { connection, duration, files, namespace, unlessNamed, whole } from "../flags.ts"
import { lazily } from "../lazily.ts"

export const executor = Command.make("executor", {
  ...connection,
  files,
  namespace,
  name: Flag.String("name").pipe(
    Flag.withDescription("Name of this executor; of the machine unless given"),
    Flag.optional,
  ),
  concurrency: whole("concurrency", { from: 1, to: 10_000 }).pipe(
    unlessNamed(10, "So many runs at once"),
  ),
  label: Flag.KeyValuePair("label").pipe(
    Flag.withMetavar("key=value"),
    Flag.withDescription("Says something of this executor; may be given several times"),
    Flag.optional,
  ),
  resource: Flag.KeyValuePair("resource").pipe(
    Flag.withMetavar("name=amount"),
    Flag.withDescription("What this executor offers to runs; may be given several times"),
    Flag.optional,
  ),
  ttl: duration("ttl").pipe(
    Flag.withDescription("So long without a beat it is taken for lost; 10s unless given"),
    Flag.optional,
  ),
  beatThread: Flag.Boolean("beat-thread").pipe(
    Flag.withDescription(
      "Beat from a thread of its own, so that a handler that blocks keeps its lease; " +
        "--no-beat-thread leaves it out",
    ),
    Flag.withDefault(true),
  ),
  samples: Flag.Boolean("samples").pipe(
    Flag.withDescription("Carry the sample tasks out as well"),
    Flag.withDefault(false),
  ),
}, (given) => lazily(() => import("../roles/executor.ts"), ({ executor }) => executor(given))).pipe(
  Command.withDescription("Carry tasks out for a server elsewhere, over one outgoing connection"),
  Command.withExamples([
    { command: "belfry executor tasks.ts --url http://127.0.0.1:7070 --concurrency 20" },
    { command: "belfry executor billing.ts mail.ts --name mail-1 --label region=eu" },
    { command: "belfry executor billing.ts --namespace acme" },
    { command: "belfry executor render.ts --label gpu=a100 --resource gpu=2" },
  ]),
)
