/** Tasks that say which namespace they are of, for tests of the command line. */
import { Layer, Schema } from "effect"
import { CurrentNamespace, Namespace, Task, Trigger } from "../core/mod.ts"

const Whose = Task.make("whose", { success: Schema.String })

export default Layer.merge(
  Whose.toLayer(() => CurrentNamespace),
  Whose.schedule("yearly", Trigger.cron("@yearly"), {}),
).pipe(Layer.provide(Layer.succeed(CurrentNamespace, Namespace.make("acme"))))
