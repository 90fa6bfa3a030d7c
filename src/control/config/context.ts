/** What a configuration file may refer to outside itself. */
export interface ConfigurationContext {
  /** Relative paths are relative to it: the folder of the file. */
  readonly directory: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The text of a file (of secrets); throws what node:fs throws. */
  readonly readFile: (path: string) => string
}
