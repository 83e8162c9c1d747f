# Runs the AWS command line once for each line of standard input, a JSON list of arguments, and answers
# each with a line: {"code": exit code, "out": standard output, "err": standard error}. One process for
# all, because the command line takes a second to start.
import contextlib
import io
import json
import sys

import awscli.clidriver

driver = awscli.clidriver.create_clidriver()
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = driver.main(json.loads(line))
        except SystemExit as e:
            code = e.code
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
