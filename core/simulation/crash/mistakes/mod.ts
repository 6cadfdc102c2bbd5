/** What the crash points of a path must find, and a walk that nothing hits does not. */
import { keyForgotten } from "../../mistakes/keyForgotten.ts"
import { noFenceCheck } from "../../mistakes/noFenceCheck.ts"
import { noUniqueSlot } from "../../mistakes/noUniqueSlot.ts"
import type { Plant } from "../World.ts"
import { answerForgotten } from "./answerForgotten.ts"
import { grantedAnew } from "./grantedAnew.ts"
import { dueInMemory, toldInMemory } from "./heldInMemory.ts"
import { lookedForSeldom } from "./lookedForSeldom.ts"
import { markedBefore } from "./markedBefore.ts"
import { parentForgotten } from "./parentForgotten.ts"
import { reportDropped } from "./reportDropped.ts"
import { resumedInTwo } from "./resumedInTwo.ts"
import { takenAnew } from "./takenAnew.ts"

export interface Planted {
  readonly plant: Plant
  /** By its name. */
  readonly path: string
  /** The calls of which one shows it when it is hit: the others need not be. */
  readonly calls: RegExp
}

const planted = <M extends Record<string, Planted>>(all: M): M => all

export const mistakes = planted({
  keyForgotten: { plant: { storage: keyForgotten }, path: "submit", calls: /^runs\.submit$/ },
  lookedForSeldom: { plant: { storage: lookedForSeldom }, path: "admit", calls: /^runs\.admit$/ },
  answerForgotten: { plant: { storage: answerForgotten }, path: "claim", calls: /^runs\.claim$/ },
  grantedAnew: { plant: { storage: grantedAnew }, path: "claim", calls: /^runs\.claim$/ },
  reportDropped: { plant: { executor: reportDropped }, path: "settle", calls: /^runs\.claim$/ },
  noUniqueSlot: {
    plant: { storage: noUniqueSlot },
    path: "fire",
    calls: /^triggers\.fire$/,
  },
  markedBefore: { plant: markedBefore, path: "fire", calls: /^triggers\.fire$/ },
  markedBeforeAhead: { plant: markedBefore, path: "fire, told ahead", calls: /^triggers\.fire$/ },
  toldInMemory: { plant: { server: toldInMemory }, path: "fire", calls: /^runs\.claim$/ },
  takenAnew: { plant: { storage: takenAnew }, path: "fire", calls: /^outbox\.take$/ },
  noFenceCheck: { plant: { storage: noFenceCheck }, path: "retry", calls: /^runs\.claim$/ },
  dueInMemory: { plant: { server: dueInMemory }, path: "retry", calls: /^runs\.claim$/ },
  parentForgotten: {
    plant: { storage: parentForgotten },
    path: "fan-in",
    calls: /^runs\.(claim|admit)$/,
  },
  resumedInTwo: { plant: resumedInTwo, path: "resume", calls: /^runs\.(resume|enter)$/ },
})
export type MistakeName = keyof typeof mistakes
