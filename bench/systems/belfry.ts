/** Belfry itself. The product is wired in here as soon as it stands: one `System` per settings. */
import type { System } from "../System.ts"

export const belfry: ReadonlyArray<System> = []
