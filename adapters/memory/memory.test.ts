import { TestClock } from "effect/testing"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import * as Memory from "./mod.ts"

StorageContract.suite("memory", Memory.layer, TestClock.adjust)
LockContract.suite("memory", Memory.layer, TestClock.adjust)
WakeupsContract.suite("memory", Memory.layer, TestClock.adjust)
