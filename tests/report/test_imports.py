"""Reports build on a laptop: nothing that they import brings torch."""

import subprocess
import sys


def test_neither_analysis_nor_report_imports_torch():
    program = (
        "import sys; import harness.report.tables, harness.report.render, "
        "harness.report.figures, harness.analyse.resample, seaborn; "
        "from harness.report.represent import views; views(); "
        "sys.exit(bool({'torch', 'monai', 'sklearn'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], check=False)
    assert run.returncode == 0
