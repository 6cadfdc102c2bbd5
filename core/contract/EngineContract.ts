/**
 * What a user of the whole may rely on, as tests: a task submitted or fired is carried out, settled
 * and seen. An adapter of storage or transport passes when the engine over it does.
 *
 * They run in real time on real clocks, wait for facts, and bound nothing more tightly than a busy
 * machine needs.
 */
import type { Layer } from "effect"
import { accepted } from "./engine/accepted.ts"
import { acted } from "./engine/acted.ts"
import { agreed } from "./engine/agreed.ts"
import { blocked } from "./engine/blocked.ts"
import { carried } from "./engine/carried.ts"
import { delivered } from "./engine/delivered.ts"
import { fired } from "./engine/fired.ts"
import { grouped } from "./engine/grouped.ts"
import { heldBack } from "./engine/heldBack.ts"
import { inTurn } from "./engine/inTurn.ts"
import { introduced } from "./engine/introduced.ts"
import { ordered } from "./engine/ordered.ts"
import { paused } from "./engine/paused.ts"
import { permitted } from "./engine/permitted.ts"
import { prompt } from "./engine/prompt.ts"
import { retried } from "./engine/retried.ts"
import { served } from "./engine/served.ts"
import { stepped } from "./engine/stepped.ts"
import { told } from "./engine/told.ts"
import { type Base, inFreshNamespace, programOver, type Test } from "./program.ts"
import { block } from "./world.ts"

export const suite = <E>(adapter: string, base: Layer.Layer<Base, E>): void => {
  block(`the engine, ${adapter}`, programOver(base), { runner: "live" }, (it) => {
    const test: Test = (name, body) => it.effect(name, () => inFreshNamespace(body()))

    carried(test)
    accepted(test)
    delivered(test)
    agreed(test)
    heldBack(test)
    told(test)
    stepped(test)
    retried(test)
    ordered(test)
    blocked(test)
    fired(test)
    paused(test)
    introduced(test)
    served(test)
    permitted(test)
    acted(test)
    grouped(test)
    inTurn(test)
    prompt(test)
  })
}
