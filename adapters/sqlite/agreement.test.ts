import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as AgreementContract from "../../core/contract/AgreementContract.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Memory from "../memory/mod.ts"
import * as Sqlite from "./mod.ts"

/** Ids follow the clock, and are to look like those of our time. */
const present = TestClock.setTime(Date.UTC(2031, 2, 1))

const empty = (file: string) =>
  Effect.andThen(
    present,
    Effect.map(Layer.build(Layer.fresh(Sqlite.layer({ file }))), Context.get(Storage)),
  )

AgreementContract.suite("sqlite in memory", Layer.empty, TestClock.adjust, {
  reference: Memory.layer,
  empty: empty(":memory:"),
})
