/**
 * Statements that change a function as it is in the database, whatever steps before have made of it: in
 * the places that are named, each of which has to be there.
 */
type Change = readonly [before: string, after: string]

const told = (signature: string, changes: ReadonlyArray<Change>, more: string): string =>
  `DO $do$
   DECLARE
     was text := pg_get_functiondef('${signature}'::regprocedure);
   BEGIN${
    changes.map(([before, after]) => `
     IF strpos(was, $was$${before}$was$) = 0 THEN
       RAISE EXCEPTION '%', $was$${signature} lacks ${before}$was$;
     END IF;
     was := replace(was, $was$${before}$was$, $is$${after}$is$);`).join("")
  }${more}
     EXECUTE was;
   END $do$`

export const retold = (signature: string, ...changes: ReadonlyArray<Change>): string =>
  told(signature, changes, "")

/** Its parameters are others: whoever leaves those out that have defaults calls it as before. */
export const remade = (signature: string, ...changes: ReadonlyArray<Change>): string =>
  told(signature, changes, `\n     DROP FUNCTION ${signature};`)
