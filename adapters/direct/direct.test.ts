import { Layer } from "effect"
import { TestClock } from "effect/testing"
import * as TransportContract from "../../core/contract/TransportContract.ts"
import * as Memory from "../memory/mod.ts"
import * as Direct from "./mod.ts"

TransportContract.suite(
  "direct",
  Layer.provideMerge(Direct.layer, Memory.layer),
  TestClock.adjust,
)
