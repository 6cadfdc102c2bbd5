/**
 * When a task is due, as `schedule` takes it: as in the core, but that the entries of a source are
 * told by a schema of any library.
 */
import type { StandardSchema as Standard } from "effect"
import * as Trigger from "../core/engine/Trigger.ts"
import type { Source } from "../core/services/Source.ts"
import type { Output, StandardSchema } from "./StandardSchema.ts"

export * from "../core/engine/Trigger.ts"

/** What the program reads of a source, entry by entry, each of which may make a run. */
export interface Tailing<A> extends Omit<Trigger.Tailing<unknown>, "entry"> {
  // deno-lint-ignore no-explicit-any -- what it accepts is for its source to know
  readonly entry: Standard.StandardSchemaV1<any, A> | undefined
}

/** Each entry of a source that this program brings. Without a schema for them, whatever they are. */
export const tail: {
  <S extends StandardSchema>(
    source: Source,
    options: Trigger.TailOptions & { readonly entry: S },
  ): Tailing<Output<S>>
  (source: Source, options?: Trigger.TailOptions): Tailing<unknown>
} = (
  source: Source,
  { entry, ...options }: Trigger.TailOptions & { readonly entry?: StandardSchema } = {},
): never => ({ ...Trigger.tail(source, options), entry }) as never
