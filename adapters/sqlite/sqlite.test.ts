import { TestClock } from "effect/testing"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import * as Sqlite from "./mod.ts"

const layer = Sqlite.layer({ file: ":memory:" })

StorageContract.suite("sqlite in memory", layer, TestClock.adjust)
LockContract.suite("sqlite in memory", layer, TestClock.adjust)
WakeupsContract.suite("sqlite in memory", layer, TestClock.adjust)
