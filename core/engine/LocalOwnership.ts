/** Ownership of one process that is alone: it holds every duty. */
import { Layer } from "effect"
import { Ownership } from "../services/Ownership.ts"
import { upkeep } from "./upkeep.ts"

export const layer: Layer.Layer<Ownership> = Layer.succeed(Ownership, {
  whileHeld: upkeep,
})
