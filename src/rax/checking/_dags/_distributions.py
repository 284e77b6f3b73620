# SPDX-License-Identifier: Apache-2.0
"""Which line of packages/requirements.in brings a module that the nodes lack."""

# Packages that are not called like their module, by the longest part of the module that tells.
# From the packages' own pages; those that people's DAGs ask for most.
_PACKAGES = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "PIL": "pillow",
    "apiclient": "google-api-python-client",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "GitPython",
    "github": "PyGithub",
    "google.auth": "google-auth",
    "google.cloud.exceptions": "google-cloud-core",
    "google.oauth2": "google-auth",
    "googleapiclient": "google-api-python-client",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "magic": "python-magic",
    "mysql.connector": "mysql-connector-python",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "snowflake.connector": "snowflake-connector-python",
    "telegram": "python-telegram-bot",
    "yaml": "PyYAML",
}
_FILE = "packages/requirements.in of the deployment"


def advice(module: str) -> str:
    """Say which line to add for a module, as far as its name tells.

    >>> advice("sklearn.linear_model")
    'add scikit-learn to packages/requirements.in of the deployment'
    >>> advice("google.cloud.bigquery")
    'add google-cloud-bigquery to packages/requirements.in of the deployment'
    >>> advice("polars")
    'add its package to packages/requirements.in of the deployment: polars, if it is called so'
    """
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (found := _PACKAGES.get(".".join(parts[:length]))) is not None:
            return f"add {found} to {_FILE}"
    if parts[:2] == ["google", "cloud"] and len(parts) > 2:
        return f"add google-cloud-{parts[2].replace('_', '-')} to {_FILE}"
    return f"add its package to {_FILE}: {parts[0].replace('_', '-')}, if it is called so"
