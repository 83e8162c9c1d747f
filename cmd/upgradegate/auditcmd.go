package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// auditSource gives every entry, the oldest first, and the newest one as it was kept beside them.
type auditSource func(ctx context.Context, see func(upgrade.AuditEntry) error) (upgrade.AuditHead, error)

func auditCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "audit", Short: "The audit log: who did what, and whether it is whole",
		Long: "The audit log: who did what, and whether it is whole.\n" +
			"It is read over the API, where the service is named by --url or UPGRADEGATE_URL and who you are by\nUPGRADEGATE_TOKEN; or with --database from the file itself, while the service runs or not.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.auditList(), r.auditVerify(), r.auditExport())
	return group(cmd)
}

func (r *remote) auditList() *cobra.Command {
	var who, act, stack string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List entries, the newest first", Args: noArgs,
		Example: "  upgradegate audit list --act run.override",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			all, err := c.Audit(cmd.Context(), client.AuditQuery{Who: who, Act: act, Stack: stack, Limit: limit})
			if err != nil {
				return err
			}
			for _, e := range all {
				if r.json {
					err = json.NewEncoder(r.out).Encode(e)
				} else {
					_, err = fmt.Fprintf(r.out, "%d  %s  %s  %s  %s  %s%s%s\n", e.Seq, e.At.UTC().Format(time.DateTime), e.Who, e.Act, orDash(e.On), e.Result, behind(": ", e.Detail), behind("  because: ", e.Why))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&who, "who", "", "only of this person")
	cmd.Flags().StringVar(&act, "act", "", "only this act, such as run.override")
	cmd.Flags().StringVar(&stack, "stack", "", "only of this stack")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many")
	return cmd
}

func behind(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// auditFrom says where the log is read. close ends it.
func (r *remote) auditFrom(ctx context.Context, database, file string) (source auditSource, closeIt func() error, err error) {
	nothing := func() error { return nil }
	switch {
	case database != "" && file != "":
		return nil, nothing, usage(errors.New("--database and --file exclude each other"))
	case database != "":
		if !strings.Contains(database, ":") {
			database = "sqlite:" + database
		}
		log, err := store.OpenAudit(ctx, database)
		if err != nil {
			return nil, nothing, err
		}
		return log.WalkAudit, log.Close, nil
	case file != "":
		return func(_ context.Context, see func(upgrade.AuditEntry) error) (upgrade.AuditHead, error) {
			return walkFile(file, see)
		}, nothing, nil
	}
	c, err := r.client()
	if err != nil {
		return nil, nothing, usage(err)
	}
	return c.WalkAudit, nothing, nil
}

// walkFile reads what `audit export` wrote. What it was cut off behind, only a noted head tells.
func walkFile(name string, see func(upgrade.AuditEntry) error) (head upgrade.AuditHead, err error) {
	file, err := os.Open(name) //nolint:gosec // the file is the caller's own
	if err != nil {
		return head, fmt.Errorf("open the export: %w", err)
	}
	defer closing(&err, file.Close)
	return client.ReadAudit(bufio.NewReader(file), see)
}

func (r *remote) auditVerify() *cobra.Command {
	var database, file, noted string
	cmd := &cobra.Command{
		Use: "verify", Short: "Find entries that were changed, removed or put in", Args: noArgs,
		Long:    "Find entries that were changed, removed or put in, each by its number. The head that is printed can be\nnoted elsewhere: with --head a log is found out that was written anew as a whole.\nExit code 3 if something is wrong.",
		Example: "  upgradegate audit verify --database /var/lib/upgradegate/gate.db\n  upgradegate audit verify --head 412:9f2c…",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			source, closeIt, err := r.auditFrom(cmd.Context(), database, file)
			if err != nil {
				return err
			}
			defer closing(&err, closeIt)
			chain := upgrade.AuditChain{}
			if noted != "" {
				if chain.Noted, err = parseHead(noted); err != nil {
					return usage(err)
				}
			}
			return r.verifyAudit(cmd.Context(), source, chain)
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "read this file, or address of a database, instead of asking the service")
	cmd.Flags().StringVar(&file, "file", "", "read what `audit export --format jsonl` wrote")
	cmd.Flags().StringVar(&noted, "head", "", "a head that was printed before, NUMBER:HASH")
	return cmd
}

func parseHead(text string) (upgrade.AuditHead, error) {
	number, hash, ok := strings.Cut(text, ":")
	seq, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || seq < 1 || len(hash) != 64 {
		return upgrade.AuditHead{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not a head", text), Hint: "copy what verify printed: number, colon, 64 digits"}
	}
	return upgrade.AuditHead{Seq: seq, Hash: hash}, nil
}

// verifyAudit follows the chain itself, wherever it comes from: the service's word is not needed.
func (r *remote) verifyAudit(ctx context.Context, source auditSource, chain upgrade.AuditChain) error {
	wrong, entries := []string{}, 0
	note := func(text string) {
		if text != "" {
			wrong = append(wrong, text)
		}
	}
	head, err := source(ctx, func(e upgrade.AuditEntry) error {
		entries++
		note(chain.Next(e))
		return nil
	})
	if err != nil {
		return err
	}
	note(chain.End(head))
	if r.json {
		err = json.NewEncoder(r.out).Encode(map[string]any{"entries": entries, "head": head.String(), "whole": len(wrong) == 0, "wrong": wrong})
	} else if len(wrong) == 0 {
		_, err = fmt.Fprintf(r.out, "whole: %d entries\nhead %s\n", entries, head)
	} else {
		_, err = fmt.Fprintln(r.out, strings.Join(wrong, "\n"))
	}
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return &codeError{code: exitClosed, err: &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "the audit log is not whole", Hint: "compare it with an export or a backup, and find out who could write to the database",
		}}
	}
	return nil
}

func (r *remote) auditExport() *cobra.Command {
	var database, format string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the whole log, the oldest entry first", Args: noArgs,
		Example: "  upgradegate audit export --format csv > audit.csv",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if format != "jsonl" && format != "csv" {
				return usage(&upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("there is no format %q", format), Hint: "csv and jsonl exist"})
			}
			source, closeIt, err := r.auditFrom(cmd.Context(), database, "")
			if err != nil {
				return err
			}
			defer closing(&err, closeIt)
			return exportAudit(cmd.Context(), r.out, source, format)
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "read this file, or address of a database, instead of asking the service")
	cmd.Flags().StringVar(&format, "format", "jsonl", "csv or jsonl")
	return cmd
}

func exportAudit(ctx context.Context, out io.Writer, source auditSource, format string) error {
	buffered := bufio.NewWriter(out)
	enc := json.NewEncoder(buffered)
	enc.SetEscapeHTML(false)
	write, flush := func(e upgrade.AuditEntry) error { return enc.Encode(client.AuditEntryOf(e)) }, buffered.Flush
	if format == "csv" {
		w := csv.NewWriter(buffered)
		if err := w.Write(server.AuditColumns()); err != nil {
			return fmt.Errorf("write the audit log: %w", err)
		}
		write = func(e upgrade.AuditEntry) error { return w.Write(server.AuditRow(e)) }
		flush = func() error {
			w.Flush()
			return errors.Join(w.Error(), buffered.Flush())
		}
	}
	if _, err := source(ctx, write); err != nil {
		return err
	}
	return flush()
}
