import { readFileSync } from "node:fs"
import { Command, CommanderError, Option, type OutputConfiguration } from "commander"
import { logLevels } from "../src/base/log-level.ts"
import {
  countArgument,
  durationArgument,
  listenArgument,
  sizeArgument,
  sizesArgument,
  transportsArgument,
} from "./arguments.ts"
import type { BenchCommandOptions } from "./commands/bench.ts"
import type { CheckConfigOptions } from "./commands/check-config.ts"
import type { CopyCommandOptions } from "./commands/copy.ts"
import type { InfoOptions } from "./commands/info.ts"
import type { ServeOptions } from "./commands/serve.ts"
import { Interrupted, reportFailure } from "./errors.ts"
import { ExitCode } from "./exit-codes.ts"
import * as help from "./help.ts"
import type { LoginOptions } from "./initiator.ts"
import type { Session } from "./session.ts"
import { tell } from "./terminal.ts"

/** Runs the program with these arguments to its end. Never rejects. */
export async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { terminal, signal } = session
  try {
    await program(session).parseAsync(args, { from: "user" })
    return ExitCode.success
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.success : ExitCode.usage
    if (signal.aborted && (error === signal.reason || error instanceof Interrupted)) {
      tell(terminal, "interrupted")
      return ExitCode.interrupted
    }
    return reportFailure(error, terminal)
  }
}

function program(session: Session): Command {
  const root = new Command("sanlet")
    .description(help.description)
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help for a command")
    .addHelpText("after", help.root)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput(outputOf("sanlet", session))
  addServe(root, session)
  addDiscover(root, session)
  addList(root, session)
  addInfo(root, session)
  addCopy(root, session)
  addBench(root, session)
  addCheckConfig(root, session)
  return root
}

/** commander's words on our terminal; its "error: …" as ours, with where to read on. */
function outputOf(name: string, { terminal }: Session): OutputConfiguration {
  const { out, err, errStyle } = terminal
  return {
    writeOut: (text) => out.write(text),
    writeErr: (text) => err.write(text),
    outputError: (text, write) => {
      const message = text
        .replace(/^error: /, "")
        .trim()
        .replaceAll("\n", " ")
        .replace(/\.$/, "")
      write(`${errStyle.red("sanlet:")} ${message}; see ${name} --help\n`)
    },
  }
}

/** From package.json, which lies above this file in a checkout, and two folders above it when compiled. */
function version(): string {
  for (const up of ["..", "../.."]) {
    try {
      const text = readFileSync(new URL(`${up}/package.json`, import.meta.url), "utf8")
      return (JSON.parse(text) as { version: string }).version
    } catch {
      // Not here.
    }
  }
  return "unknown"
}

const json = () => new Option("--json", "print JSON instead")
const initiator = () => new Option("--initiator <iqn>", "log in under this initiator name")
const transport = () =>
  new Option("--transport <transport>", "what to connect over (default: as the URL says, else auto)").choices(
    ["auto", "tcp", "iser"],
  )

function command(root: Command, session: Session, usage: string, about: string, after: string): Command {
  return root
    .command(usage)
    .description(about)
    .addHelpText("after", after)
    .helpOption("-h, --help", "show help")
    .configureOutput(outputOf(`sanlet ${usage.split(" ")[0]}`, session))
}

function addServe(root: Command, session: Session): void {
  command(root, session, "serve [image...]", "serve disk images as iSCSI LUNs", help.serve)
    .option("--size <size>", "create images that don't exist as sparse files of this size", sizeArgument)
    .option(
      "--listen <host:port>",
      "where initiators connect, may be repeated (default: 127.0.0.1:3260)",
      listenArgument,
    )
    .option("--target <iqn>", "iSCSI name of the target (default: made of the host's name)")
    .option("--read-only", "refuse writes")
    .addOption(
      new Option("--cache <mode>", "write-back by default").choices([
        "write-back",
        "write-through",
        "direct",
      ]),
    )
    .option("--config <file>", "serve what this YAML file says instead")
    .addOption(json())
    .addOption(new Option("--log-level <level>", "how much is logged (default: info)").choices(logLevels))
    .addOption(
      new Option("--log-format <format>", "default: text on a terminal, else JSON").choices([
        "auto",
        "json",
        "text",
      ]),
    )
    .action(async (images: string[], options: ServeOptions) => {
      const { serve } = await import("./commands/serve.ts")
      await serve(images, options, session)
    })
}

function addDiscover(root: Command, session: Session): void {
  command(root, session, "discover <url>", "list the targets of a portal", help.discover)
    .addOption(transport())
    .addOption(initiator())
    .addOption(json())
    .action(async (url: string, options: LoginOptions & { json?: boolean }) => {
      const { discover } = await import("./commands/discover.ts")
      await discover(url, options, session)
    })
}

function addList(root: Command, session: Session): void {
  command(root, session, "ls [url]", "list targets and their LUNs with sizes", help.ls)
    .addOption(transport())
    .addOption(initiator())
    .addOption(json())
    .action(async (url: string | undefined, options: LoginOptions & { json?: boolean }) => {
      const { list } = await import("./commands/ls.ts")
      await list(url ?? "iscsi://127.0.0.1", options, session)
    })
}

function addInfo(root: Command, session: Session): void {
  command(root, session, "info <url>", "show what a LUN and its session say of themselves", help.info)
    .addOption(transport())
    .addOption(initiator())
    .option("--hex", "dump the VPD pages, too")
    .addOption(json())
    .action(async (url: string, options: InfoOptions) => {
      const { info } = await import("./commands/info.ts")
      await info(url, options, session)
    })
}

function addCopy(root: Command, session: Session): void {
  command(
    root,
    session,
    "copy <src> <dst>",
    "copy a disk: files, block devices and LUNs, in any direction",
    help.copy,
  )
    .option("--verify", "compare both afterwards")
    .option("--force", "overwrite DST if it is a file that exists, or a block device")
    .option("--depth <n>", "pieces under way at once", countArgument(1, 128), 8)
    .option("--piece <size>", "bytes of a piece", sizeArgument, 1024 * 1024)
    .addOption(transport())
    .addOption(initiator())
    .addOption(json())
    .action(async (from: string, to: string, options: CopyCommandOptions) => {
      const { copyDisk } = await import("./commands/copy.ts")
      await copyDisk(from, to, options, session)
    })
}

function addBench(root: Command, session: Session): void {
  command(root, session, "bench <url>", "measure a LUN: IOPS, throughput, latencies", help.bench)
    .option("--depth <n>", "operations under way at once (default: 32)", countArgument(1, 128))
    .option("--block <size>", "bytes of an operation (default: 4k)", sizesArgument)
    .option(
      "--write [percent]",
      "write as well, OVERWRITING THE DISK: all operations, or a share",
      countArgument(1, 100),
    )
    .addOption(
      new Option("--pattern <pattern>", "order of the offsets")
        .choices(["random", "sequential"])
        .default("random"),
    )
    .addOption(
      new Option("--duration <time>", "how long: 30, 30s, 2m")
        .argParser(durationArgument)
        .default(10_000, "10s"),
    )
    .option("--compare <transports>", "measure each of these in turns: tcp,iser", transportsArgument)
    .option("--rounds <n>", "turns of each in a comparison (default: 5)", countArgument(1, 100))
    .option("--chart <file>", "write the comparison's charts as an HTML page")
    .option("--target-pid <pid>", "process whose CPU time is the target's", countArgument(1, 2 ** 31 - 1))
    .addOption(transport())
    .addOption(initiator())
    .addOption(json())
    .action(async (url: string, options: BenchCommandOptions) => {
      const { benchDisk } = await import("./commands/bench.ts")
      await benchDisk(url, options, session)
    })
}

function addCheckConfig(root: Command, session: Session): void {
  command(
    root,
    session,
    "check-config [file]",
    "check a configuration file and show what it serves",
    help.checkConfig,
  )
    .option("--schema", "print the JSON Schema of configuration files, for editors")
    .addOption(json())
    .action(async (file: string | undefined, options: CheckConfigOptions) => {
      const { checkConfig } = await import("./commands/check-config.ts")
      checkConfig(file, options, session)
    })
}
